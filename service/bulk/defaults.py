"""What a job does unless it is told otherwise. Free of pyarrow, so that commands can name it without the extra."""

from collections.abc import Callable

# Of an import.
BATCH_ROWS = 1024
IN_FLIGHT = 4  # requests
REFUSED_MAX = 10_000  # rows; that many are no slips in a file but the wrong file

# Of a translation without a gateway.
PART_ROWS = 65_536

OnRows = Callable[[int, int], None]  # rows done, rows in all


def tell_nobody(_done: int, _total: int) -> None:
    """An OnRows for work that nobody watches."""
