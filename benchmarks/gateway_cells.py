"""Which requests are measured, and how: every contestant in turn in each cell, so that drift meets all alike."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.contestants import Contestant
from benchmarks.load.answers import OK, REFUSED, Summary
from benchmarks.load.plan import Closed
from benchmarks.load.run import LoadError
from benchmarks.results import Figure
from training.progress import View

ROWS: Final = (1, 8, 64, 512)
AT_ONCE: Final = (1, 16, 64, 256)
TAIL_ANSWERS_MIN: Final = 20  # fewer have no p99 worth the name


@dataclass(frozen=True, slots=True)
class Cell:
    """So many features in each of so many requests at once."""

    rows: int
    at_once: int

    def __str__(self) -> str:
        return f"{self.rows} x {self.at_once}"


Table = dict[tuple[str, Cell], Summary]  # by the contestant's name
Rounds = dict[str, list[Summary]]  # by the contestant's name


def cells(rows_at_once_max: int) -> list[Cell]:
    """The cells that have no more features under way: others measure a queue."""
    return [Cell(rows, at_once) for rows in ROWS for at_once in AT_ONCE if rows * at_once <= rows_at_once_max]


def fill_table(
    fields: Sequence[tuple[Contestant, Iterable[Cell]]], seconds: float, warm_up_s: float, view: View
) -> Table:
    """Measure each contestant once in each of its cells; cell by cell, contestants in turn.

    A cell in which one does not answer in time is left out of its row, and the others go on.
    """
    table: Table = {}
    wanted = [(contestant, set(its_cells)) for contestant, its_cells in fields]
    every = sorted({cell for _, its_cells in wanted for cell in its_cells}, key=lambda cell: (cell.rows, cell.at_once))
    for number, cell in enumerate(every):
        view.counter("cells")(number + 1, len(every))
        for contestant, its_cells in wanted:
            if cell in its_cells:
                pace = Closed(cell.at_once, seconds, warm_up_s)
                try:
                    table[contestant.name, cell] = contestant.measure(cell.rows, pace)
                except LoadError as error:
                    view.stage(f"{contestant.name}, {cell}: {error}")
    return table


def in_rounds(contestants: Sequence[tuple[Contestant, Cell]], seconds: float, warm_up_s: float, rounds: int) -> Rounds:
    """Measure contestants in turn, each in its cell, round after round."""
    measured: Rounds = {contestant.name: [] for contestant, _ in contestants}
    for _ in range(rounds):
        for contestant, cell in contestants:
            measured[contestant.name].append(contestant.measure(cell.rows, Closed(cell.at_once, seconds, warm_up_s)))
    return measured


def table_figures(prefix: str, table: Table) -> dict[str, float | Figure]:
    """Features a second of every cell, what was refused, and p99 where there are answers enough."""
    figures: dict[str, float | Figure] = {}
    for (name, cell), summary in table.items():
        key = f"{prefix}, {name}, {cell}"
        figures[f"{key}: features/s"] = summary.features_per_s
        if refused := sum(summary.statuses.get(str(status), 0) for status in REFUSED):
            figures[f"{key}: share refused"] = refused / sum(summary.statuses.values())
        if summary.statuses.get(str(OK), 0) >= TAIL_ANSWERS_MIN:
            figures[f"{key}: p99 ms"] = summary.answered_ms.p99
    return figures
