"""Where more load stops paying: Kleinrock's power, throughput over latency, is greatest at the knee."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.load.answers import Summary


@dataclass(frozen=True, slots=True)
class Point:
    """What a load (rows of a request, or requests at once) gets and waits."""

    load: int
    features_per_s: float
    p50_ms: float
    p99_ms: float

    @property
    def power(self) -> float:
        """Features a second over the median latency. Below the knee throughput grows faster, beyond it latency."""
        return self.features_per_s / self.p50_ms


def point_of(load: int, summary: Summary) -> Point:
    """The point that a run gives."""
    return Point(load, summary.features_per_s, summary.answered_ms.p50, summary.answered_ms.p99)


def knee_of(points: Sequence[Point]) -> Point:
    """The point of greatest power; of equals the least load."""
    return max(sorted(points, key=lambda point: point.load), key=lambda point: point.power)
