"""Runs timed side by side: in several rounds, in turn, so that the machine's drift meets all alike."""

import statistics
import time
from collections.abc import Callable, Sequence

ROUNDS = 7


def seconds_side_by_side(runs: Sequence[Callable[[], object]], budget_s: float) -> list[list[float]]:
    """Median seconds of each run in each round; `budget_s` is that of one run over all rounds, which it may exceed."""
    for run in runs:
        run()
    medians: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS):
        for run, kept in zip(runs, medians, strict=True):
            kept.append(_median_seconds(run, budget_s / ROUNDS))
    return medians


def _median_seconds(run: Callable[[], object], budget_s: float) -> float:
    seconds: list[float] = []
    end = time.perf_counter() + budget_s
    while not seconds or time.perf_counter() < end:
        started_at = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started_at)
    return statistics.median(seconds)
