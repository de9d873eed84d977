"""What the page says first: who is promoted, how surely it is ahead, and the figures a reader looks for."""

from training.report.run import Summary
from training.report.tables import Cell, rate_cell

UNCORRECTED = "Each of these comparisons stands for itself, uncorrected for their number."


def headline(summary: Summary) -> str:
    """The sentence whose subject is the promoted method."""
    if len(summary.methods) == 1:
        return "is promoted: no other method was judged."
    rivals = summary.rank_1_difference.get(summary.winner)
    if not rivals:
        return "is promoted; this summary does not say how surely it is ahead of the others."
    ahead = ", ".join(name for name, difference in rivals.items() if difference.low > 0)
    unsure = ", ".join(name for name, difference in rivals.items() if difference.low <= 0)
    parts = (f"ahead of {ahead} beyond chance" if ahead else "", f"not told apart from {unsure}" if unsure else "")
    return f"is promoted: {'; '.join(filter(None, parts))}. {UNCORRECTED}"


def key_figures(summary: Summary) -> dict[str, Cell]:
    """Rates with their intervals, and how many people they rest on."""
    return {
        f"rank-1 of {summary.winner}": rate_cell(summary.identification[summary.winner].rank_1),
        "rank-1 of the target encoder": rate_cell(summary.identification["target native"].rank_1),
        "probes": Cell(f"{summary.probes:,}"),
        "gallery subjects": Cell(f"{summary.gallery_subjects:,}"),
        "of them distractors": Cell(f"{summary.distractors:,}"),
    }
