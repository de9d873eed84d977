"""Learning curves as a committed result: what more pairs, and better ones, are worth to each method."""

from typing import Any

from benchmarks.results import Figure, Result, result_of

Summary = dict[str, Any]


def curves_result(name: str, command: str, summary: Summary) -> Result:
    """Rank-1 of every point, beside both natives."""
    figures: dict[str, float | Figure] = {
        f"rank-1, {native}": Figure.model_validate(judged["rank_1"]) for native, judged in summary["natives"].items()
    }
    for point in summary["points"]:
        key = f"rank-1, {point['method']} on {point['rows']} {point['kind']} rows"
        figures[key] = Figure.model_validate(point["rank_1"])
    return result_of(
        name=name,
        command=command,
        seconds=sum(point["seconds"] for point in summary["points"]),
        figures=figures,
        claims=[],
    )
