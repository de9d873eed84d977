"""From impostor pairs to false-match rates."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.calibration import FMR_LEVELS, Calibration, CalibrationPoint
from contract.vectors import Features
from training.comparison import Identities, impostor_blocks
from training.lazy_rows import FeatureRows, LazyRows

Search = tuple[Features, Identities, FeatureRows, Identities]  # probes [P, d], whose [P], gallery [G, d], whose [G]

BINS = 40_000  # of similarity -1 … 1: steps of 5e-5
PAIRS_MIN = 100
COUNTED_MIN = 10  # fewer impostor pairs beyond a point are no measurement
TAIL_PAIRS = 100  # of the highest impostor pairs, at most a tenth of all, the tail is fitted to


def calibrate(
    probes: Features, probe_identities: Identities, gallery: FeatureRows, gallery_identities: Identities
) -> Calibration:
    """Similarity that impostor pairs exceed at each false-match rate, 1e-1 … 1e-6.

    Counted where at least ten impostor pairs lie beyond. Further out an exponential continues the highest counted
    similarities, and may err to either side, the more so where rare people look alike. Memory is a histogram and one
    block of similarities.

    Raises:
        ValueError: fewer than a hundred impostor pairs.
    """
    return calibrate_pooled([(probes, probe_identities, gallery, gallery_identities)])


def calibrate_pooled(searches: Sequence[Search]) -> Calibration:
    """As `calibrate`, of several galleries, each searched by probes of its own. Raises as it does."""
    histogram = np.zeros(BINS, np.int64)
    for search in searches:
        histogram += _impostors(*search)
    pairs = int(histogram.sum())
    if pairs < PAIRS_MIN:
        raise ValueError(f"{pairs} impostor pairs; a calibration needs at least {PAIRS_MIN}")
    return Calibration(impostor_pairs=pairs, points=_points(histogram, pairs))


def check_calibration(
    probes: Features,
    probe_identities: Identities,
    gallery: FeatureRows,
    gallery_identities: Identities,
    *,
    seed: int = 0,
) -> dict[str, float]:
    """The false-match rate observed at each rate's threshold, on other people than those who gave the threshold.

    Two halves of the identities, probes and gallery alike, calibrate and observe in turn. Only rates that both halves
    can count are there; none where a half has fewer than a hundred impostor pairs.
    """
    known = np.unique(np.concatenate([probe_identities, gallery_identities]))
    half = np.random.default_rng(seed).permutation(known[known >= 0])[::2]
    histograms: list[NDArray[np.int64]] = []
    for inside in (True, False):
        shown = _half(probe_identities, half) == inside
        enrolled = _half(gallery_identities, half) == inside
        if not shown.any() or not enrolled.any():
            return {}
        sides = (
            probes[shown],
            probe_identities[shown],
            LazyRows(gallery, np.flatnonzero(enrolled)),
            gallery_identities[enrolled],
        )
        histograms.append(_impostors(*sides))
    pairs = [int(histogram.sum()) for histogram in histograms]
    if min(pairs) < PAIRS_MIN:
        return {}
    beyond = [np.append(np.cumsum(histogram[::-1])[::-1], 0) for histogram in histograms]  # [BINS + 1] each
    return {
        level: (
            float(beyond[1][_lowest_edge(beyond[0], float(level) * pairs[0])])
            + float(beyond[0][_lowest_edge(beyond[1], float(level) * pairs[1])])
        )
        / sum(pairs)
        for level in FMR_LEVELS
        if float(level) * min(pairs) >= COUNTED_MIN
    }


def _half(identities: Identities, half: Identities) -> NDArray[np.bool_]:
    """Who belongs to the first half; distractors of identity -1, each somebody else, alternate."""
    return np.where(identities >= 0, np.isin(identities, half), np.arange(len(identities)) % 2 == 0)


def _impostors(
    probes: Features, probe_identities: Identities, gallery: FeatureRows, gallery_identities: Identities
) -> NDArray[np.int64]:
    histogram = np.zeros(BINS, np.int64)
    for _, block in impostor_blocks(probes, probe_identities, gallery, gallery_identities):
        histogram += _histogram(block)
    return histogram


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
