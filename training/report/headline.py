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


def bias_of_choice(summary: Summary) -> tuple[str, ...]:
    """A note on what choosing and judging by the same people adds to the promoted method's rank-1."""
    rivals = summary.rank_1_difference.get(summary.winner, {})
    if not rivals:
        return ()
    unsure = [difference for difference in rivals.values() if difference.low <= 0]
    widest = max(((difference.high - difference.low) / 2 for difference in unsure), default=0.0)
    here = (
        f"Here the widest reaches {100 * widest:.1f} points to either side."
        if unsure
        else "Here every other method is behind beyond chance, so that the choice adds next to nothing."
    )
    return (
        f"{summary.winner} was chosen and judged on the same held-out people: its rank-1 is the largest of "
        f"{len(rivals) + 1} measured alike, and too high by the luck that made it the largest. Of equally good methods "
        "that is on average a fifth of the half-width of their paired intervals for two methods, half of it for eight, "
        f"and all of it for two hundred. {here} Judged on other people it is free of this.",
    )


def key_figures(summary: Summary) -> dict[str, Cell]:
    """Rates with their intervals, and how many people they rest on."""
    return {
        f"rank-1 of {summary.winner}": rate_cell(summary.identification[summary.winner].rank_1),
        "rank-1 of the target encoder": rate_cell(summary.identification["target native"].rank_1),
        "probes": Cell(f"{summary.probes:,}"),
        "gallery subjects": Cell(f"{summary.gallery_subjects:,}"),
        "of them distractors": Cell(f"{summary.distractors:,}"),
    }
