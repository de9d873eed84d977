"""All similarities of one kind of probe, as histograms and as error rates over thresholds. Bounded memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Features
from training.comparison import Comparison, Identities, compare, impostor_blocks
from training.lazy_rows import FeatureRows
from training.proof import Stage, resize
from training.report.material import Evidence

BINS = 20_000  # of similarity -1 … 1: steps of 1e-4
CURVE_POINTS = 160
COUNTED_MIN = 10  # fewer errors than this are no measurement

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trials:
    """Genuine and impostor similarities of one kind of probe, and its searches."""

    genuine: Counts  # [BINS]
    impostor: Counts  # [BINS]
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one line."""

    x: NDArray[np.float64]  # [n], rising
    y: NDArray[np.float64]  # [n]


def run_trials(
    probes: Features, identities: Identities, gallery: FeatureRows, gallery_identities: Identities
) -> Trials:
    """Compare probes [P, d] with a gallery [G, d] of the same space."""
    comparison = compare(probes, identities, gallery, gallery_identities)
    impostor = np.zeros(BINS, np.int64)
    for _, block in impostor_blocks(probes, identities, gallery, gallery_identities):
        impostor += count_similarities(block[np.isfinite(block)])
    return Trials(count_similarities(comparison.genuine), impostor, comparison)


def all_trials(evidence: Evidence) -> dict[str, Trials]:
    """Trials of every method, of both natives and of vectors that nobody translated."""
    stage = evidence.stage
    untranslated = resize(stage.source_probes, stage.target_gallery.shape[1])
    source = run_trials(stage.source_probes, stage.probe_identities, stage.source_gallery, stage.gallery_identities)
    return {
        **{method: _in_target(stage, features) for method, features in evidence.translated.items()},
        "source native": source,
        "target native": _in_target(stage, stage.target_probes),
        "untranslated": _in_target(stage, untranslated),
    }


def _in_target(stage: Stage, probes: Features) -> Trials:
    return run_trials(probes, stage.probe_identities, stage.target_gallery, stage.gallery_identities)


def count_similarities(similarities: NDArray[np.float32]) -> Counts:
    """Histogram [BINS] of cosine similarities."""
    bins = np.clip((similarities + 1) * (BINS / 2), 0, BINS - 1).astype(np.int64)
    return np.bincount(bins, minlength=BINS)


def verification_errors(trials: Trials) -> Curve:
    """FNMR (y) over FMR (x), from as rare as ten false matches up to one in two."""
    beyond = np.cumsum(trials.impostor[::-1])[::-1]  # [BINS]: impostor pairs from this bin on
    below = np.cumsum(trials.genuine) - trials.genuine  # [BINS]: genuine pairs before this bin
    pairs = int(trials.impostor.sum())
    wanted = _wanted_counts(pairs)
    at = np.minimum(np.searchsorted(-beyond, -wanted), BINS - 1)  # the lowest bin that at most so many reach
    at = np.unique(at[beyond[at] >= 1])[::-1]
    return Curve(beyond[at] / pairs, below[at] / max(int(trials.genuine.sum()), 1))


def search_errors(comparison: Comparison) -> Curve:
    """FNIR (y) over FPIR (x) of an open-set search, thresholds as `training.identification` settles them."""
    mated = comparison.mated
    hit = np.where(comparison.ranks[mated] == 1, comparison.best_genuine[mated], np.float32(-np.inf))
    alarms = np.sort(comparison.best_impostor)[::-1]  # falling
    allowed = _wanted_counts(len(alarms))
    allowed = allowed[allowed < len(alarms)]
    missed = np.array([1 - (hit > alarms[count]).mean() for count in allowed])
    return Curve(allowed / len(alarms), missed)


def _wanted_counts(trials: int) -> Counts:
    """Numbers of errors to draw a curve at, evenly on a logarithmic axis."""
    first, last = min(COUNTED_MIN, max(trials // 2, 1)), max(trials // 2, 1)
    return np.unique(np.geomspace(first, last, CURVE_POINTS).round().astype(np.int64))
