"""One batch into a gallery: all of it, or all but the rows that the gateway refuses."""

from collections.abc import Collection
from itertools import pairwise
from typing import Final

from service.bulk.batches import Batch
from service.bulk.client import Gateway
from service.bulk.errors import GatewayProblemError

NEW, REPLACED = "new", "replaced"
REFUSED: Final = "refused: "

# Codes that speak of single rows. Any other ends the import: it would meet every row alike.
OF_ROWS: Final = frozenset(
    {"malformed", "wrong-dimension", "not-finite", "out-of-range", "zero-vector", "duplicate-face", "too-large"}
)
OF_TOO_MANY_ROWS: Final = frozenset({"deadline-exceeded", "engine-timeout"})  # smaller requests may pass


class Fates:
    """What became of a batch's rows [n], and how many faces were new."""

    def __init__(self) -> None:
        self.of_rows: list[str] = []
        self.new = 0

    def stored(self, rows: int, replaced: Collection[int]) -> None:
        """Rows that the gateway has enrolled, and which of them replaced a face."""
        self.of_rows += [REPLACED if row in replaced else NEW for row in range(rows)]
        self.new += rows - len(replaced)


def enrol(gateway: Gateway, gallery: str, batch: Batch) -> Fates:
    """Enrol a batch. Where it is refused it is cut, at the row that is named or in the middle, at most 2 n times.

    Raises:
        GatewayProblemError: what is refused is not a row. GatewayUnreachableError.
    """
    fates, left = Fates(), [batch]
    while left:
        part = left.pop()
        try:
            answer = gateway.post("galleries", gallery, "faces", body=part.body(), patient=True)
        except GatewayProblemError as problem:
            if problem.code not in OF_ROWS | OF_TOO_MANY_ROWS:
                raise
            if len(part) > 1:
                left += reversed(_pieces(part, problem.row))
            elif problem.code in OF_ROWS:
                fates.of_rows.append(REFUSED + problem.code)
            else:
                raise
        else:
            fates.stored(len(part), {int(row) for row in answer["replaced_rows"]})
    return fates


def _pieces(part: Batch, row: int | None) -> list[Batch]:
    """Halves; where a row is named, it alone, what is before it, and halves of the rest.

    Halves of the rest, and not the rest, so that a batch of bad rows only is not sent whole for each of them.
    """
    length = len(part)
    if row is None or not 0 <= row < length:
        cuts = [0, length // 2, length]
    else:
        cuts = [0, row, row + 1, (row + 1 + length) // 2, length]
    return [part.cut(start, stop) for start, stop in pairwise(cuts) if start < stop]
