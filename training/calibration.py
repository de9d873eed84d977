"""From impostor pairs to false-match rates."""

import numpy as np
from numpy.typing import NDArray

from contract.calibration import FMR_LEVELS, Calibration, CalibrationPoint
from contract.vectors import Features
from training.comparison import Identities, impostor_blocks

BINS = 40_000  # of similarity -1 … 1: steps of 5e-5
PAIRS_MIN = 100
COUNTED_MIN = 10  # fewer impostor pairs beyond a point are no measurement
TAIL_PAIRS = 100  # of the highest impostor pairs, at most a tenth of all, the tail is fitted to


def calibrate(
    probes: Features, probe_identities: Identities, gallery: Features, gallery_identities: Identities
) -> Calibration:
    """Similarity that impostor pairs exceed at each false-match rate, 1e-1 … 1e-6.

    Counted where at least ten impostor pairs lie beyond. Further out an exponential continues the highest counted
    similarities: a cosine is bounded, so its tail falls faster, and the extrapolated threshold errs to the safe side.
    Memory is a histogram and one block of similarities.

    Raises:
        ValueError: fewer than a hundred impostor pairs.
    """
    histogram = np.zeros(BINS, np.int64)
    for _, block in impostor_blocks(probes, probe_identities, gallery, gallery_identities):
        histogram += _histogram(block)
    pairs = int(histogram.sum())
    if pairs < PAIRS_MIN:
        raise ValueError(f"{pairs} impostor pairs; a calibration needs at least {PAIRS_MIN}")
    return Calibration(impostor_pairs=pairs, points=_points(histogram, pairs))


def _histogram(block: NDArray[np.float32]) -> NDArray[np.int64]:
    impostors = block[np.isfinite(block)]
    bins = np.clip((impostors + 1) * (BINS / 2), 0, BINS - 1).astype(np.int64)
    return np.bincount(bins, minlength=BINS)


def _points(histogram: NDArray[np.int64], pairs: int) -> tuple[CalibrationPoint, ...]:
    edges = np.linspace(-1, 1, BINS + 1)  # bin i covers edges i … i + 1
    beyond = np.append(np.cumsum(histogram[::-1])[::-1], 0)  # [BINS + 1]: pairs from this edge on
    start = _lowest_edge(beyond, min(TAIL_PAIRS, pairs / 10))
    centres = (edges[:-1] + edges[1:]) / 2
    tail = histogram[start:]
    tail_pairs = max(int(tail.sum()), 1)
    excess = max(float((tail * (centres[start:] - edges[start])).sum() / tail_pairs), 2 / BINS)
    points: list[CalibrationPoint] = []
    for level in FMR_LEVELS:
        fmr = float(level)
        counted = fmr * pairs >= COUNTED_MIN
        similarity = edges[_lowest_edge(beyond, fmr * pairs)]
        if not counted:
            similarity = edges[start] + excess * np.log(tail_pairs / (fmr * pairs))
        highest = points[-1].similarity if points else -1.0
        similarity = min(max(float(similarity), highest), 1.0)
        points.append(CalibrationPoint(fmr=fmr, similarity=similarity, extrapolated=not counted))
    return tuple(points)


def _lowest_edge(beyond: NDArray[np.int64], allowed: float) -> int:
    """The lowest edge that at most `allowed` pairs lie beyond."""
    return int(np.argmax(beyond <= allowed + 1e-9))
