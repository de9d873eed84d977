"""The tables of the report, as cells of text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from contract.manifest import Identification
from training.report.run import Difference, Summary

MINUS = "\u2212"
ABSENT = "\u2013"


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure, its interval beneath, and whether it is better or worse beyond doubt."""

    text: str
    detail: str = ""
    mark: str = ""  # "", "better", "worse"


@dataclass(frozen=True, slots=True)
class Row:
    """A row under its heading."""

    heading: str
    cells: tuple[Cell, ...]
    best: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Columns name the cells; the heading of the rows stands first."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


class RateLike(Protocol):
    """A value with its interval."""

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def high(self) -> float: ...  # noqa: D102


def bakeoff_table(summary: Summary) -> Table:
    """Every row of the judgement: methods by rank-1, then both natives, then chance."""
    order = [*summary.methods, *(name for name in reversed(summary.identification) if name not in summary.training)]
    rows = {name: summary.identification[name] for name in order}
    columns, cells = _judgement(rows)
    facts = summary.training
    seconds = {name: f"{facts[name].seconds:,.1f}" if name in facts else ABSENT for name in rows}
    table_rows = tuple(Row(name, (*cells[name], Cell(seconds[name])), best=name == summary.winner) for name in rows)
    return Table("Probes of held-out identities", ("probe", *columns, "seconds to train"), table_rows)


def gallery_table(summary: Summary) -> Table:
    """The other direction of use: the gallery is translated and probes are native."""
    return judgement_table("Native probes in a translated gallery", "gallery", summary.gallery_direction)


def judgement_table(caption: str, heading: str, identification: Mapping[str, Identification]) -> Table:
    """Rows by rank-1, the best first."""
    columns, cells = _judgement(identification)
    order = sorted(identification, key=lambda name: -identification[name].rank_1.value)
    return Table(caption, (heading, *columns), tuple(Row(name, cells[name]) for name in order))


def difference_table(differences: Mapping[str, Mapping[str, Difference]]) -> Table:
    """Row minus column, in points of a hundred."""
    names = list(dict.fromkeys([*differences, *(name for row in differences.values() for name in row)]))
    rows = tuple(Row(a, tuple(_difference(differences.get(a, {}).get(b)) for b in names)) for a in names)
    return Table("Rank-1 of the row minus rank-1 of the column, in percentage points", ("", *names), rows)


def rate_cell(rate: RateLike | None) -> Cell:
    """A rate and its interval; a dash where the comparisons do not support one."""
    if rate is None:
        return Cell(ABSENT)
    return Cell(f"{rate.value:.4f}", f"{rate.low:.3f} to {rate.high:.3f}")


def not_in_table(diverged: Mapping[str, str]) -> tuple[str, ...]:
    """A note for each method whose training failed."""
    return tuple(f"{name} is not in the table: {reason}." for name, reason in diverged.items())


def _judgement(rows: Mapping[str, Identification]) -> tuple[tuple[str, ...], dict[str, tuple[Cell, ...]]]:
    fars = _rates(*(row.tar_at_far for row in rows.values()))
    fpirs = _rates(*(row.fnir_at_fpir for row in rows.values()))
    columns = ("rank-1", *(f"TAR at FAR {far}" for far in fars), *(f"FNIR at FPIR {fpir}" for fpir in fpirs))
    cells = {
        name: (
            rate_cell(row.rank_1),
            *(rate_cell(row.tar_at_far.get(far)) for far in fars),
            *(rate_cell(row.fnir_at_fpir.get(fpir)) for fpir in fpirs),
        )
        for name, row in rows.items()
    }
    return columns, cells


def _rates(*measures: Mapping[str, RateLike]) -> list[str]:
    """All rates that any row has, from the mildest."""
    return sorted({rate for measure in measures for rate in measure}, key=lambda rate: -float(rate))


def _difference(difference: Difference | None) -> Cell:
    if difference is None:
        return Cell(ABSENT)
    mark = "better" if difference.low > 0 else "worse" if difference.high < 0 else ""
    low, high = signed_points(difference.low), signed_points(difference.high)
    return Cell(signed_points(difference.value), f"{low} to {high}", mark)


def signed_points(share: float) -> str:
    """A difference of shares in percentage points, with a sign."""
    points = round(100 * share, 1)
    return f"{MINUS}{-points:.1f}" if points < 0 else f"+{abs(points):.1f}"
