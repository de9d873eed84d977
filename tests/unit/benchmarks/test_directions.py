"""What is claimed of all directions together: the worst one, and the better half."""

from typing import Any

import pytest

from benchmarks.directions import directions_result


def summary(source: str, target: str, *, rank_1: float, tar: float, native: float = 0.9) -> dict[str, Any]:
    def judged(rank: float, accepted: float) -> dict[str, Any]:
        values = {"rank_1": rank, "tar": accepted}
        rates = {key: {"value": value, "low": value - 0.01, "high": value + 0.01} for key, value in values.items()}
        return {"rank_1": rates["rank_1"], "tar_at_far": {"1e-4": rates["tar"]}}

    return {
        "source": source,
        "target": target,
        "winner": "residual",
        "training": {"residual": {"seconds": 2.0}},
        "identification": {
            "residual": judged(rank_1, tar),
            "source native": judged(native, 0.8),
            "target native": judged(0.95, 0.9),
        },
    }


def test_the_worst_direction_and_the_better_half_are_claimed() -> None:
    summaries = [
        summary("a", "b", rank_1=0.9, tar=0.8),
        summary("b", "a", rank_1=0.81, tar=0.4),
        summary("a", "c", rank_1=0.891, tar=0.8),
        summary("c", "a", rank_1=0.99, tar=0.88),
    ]
    result = directions_result("quality-x", "command", summaries)
    worst, half, worst_tar = result.claims
    assert worst.what.startswith("promoted, worst direction (b to a, residual)")
    assert [c.value for c in result.claims] == pytest.approx([0.81 / 0.9, 0.9 / 0.9, 0.4 / 0.8], abs=1e-5)
    assert [c.holds for c in result.claims] == [False, True, False]
    assert worst_tar.goal == 0.94
    assert half.goal == 0.99
    assert result.seconds == 8.0
    assert len(result.figures) == 4 * 2 * 3
