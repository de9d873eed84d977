"""How well probes find their subjects: rank-1, CMC, TAR at FAR, FNIR at FPIR, with intervals over identities.

Terms follow ISO/IEC 19795-1. What it leaves open is settled against the system under test:

- A tie counts against the probe: its own face must beat every other one.
- A pair is accepted when its similarity lies above the threshold, and the threshold for a rate r over n impostor
  comparisons is the highest one that at most floor(r * n) of them exceed. Nothing is interpolated; a rate that not even
  one comparison may reach (r * n < 1) is left out.
- TAR at FAR (verification) takes every probe-gallery pair. FNIR at FPIR (open-set search) takes one search per probe: a
  mated search fails unless the subject comes first and above the threshold; the non-mated searches are those of probes
  whose subject is not in the gallery and, for every mated probe, the search of the gallery without its subject.
- Intervals are 95 % percentile bootstraps that draw probe identities with replacement, thresholds found anew each time;
  the gallery stays. Probes of identity -1 count as one identity each. No interval is narrower than its number of mated
  identities supports (`bootstrap.rate_of_all`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.manifest import Identification, Interval
from contract.vectors import Features
from training.bootstrap import BOOTSTRAP, Counts, identity_groups, interval_of, resamples
from training.comparison import Comparison, Identities, Rows, compare
from training.lazy_rows import FeatureRows

FARS = ("1e-3", "1e-4", "1e-5", "1e-6")
FPIRS = ("0.01", "0.003")
EDGES_MAX = 512  # candidate thresholds of a resample


def judge(
    probes: Features,
    probe_identities: Identities,
    gallery: FeatureRows,
    gallery_identities: Identities,
    *,
    bootstrap: int = BOOTSTRAP,
    seed: int = 0,
) -> Identification:
    """Every measure of probes [P, d] against a gallery [G, d] of the same space; identity -1 marks distractors.

    Raises:
        ValueError: no probe has its subject in the gallery, nobody else is in it, or shapes disagree.
    """
    return measure(compare(probes, probe_identities, gallery, gallery_identities), bootstrap=bootstrap, seed=seed)


def measure(comparison: Comparison, *, bootstrap: int = BOOTSTRAP, seed: int = 0) -> Identification:
    """Every measure of a comparison that is at hand; as `judge`. Raises ValueError."""
    return Identification(
        rank_1=rank_1(comparison, bootstrap=bootstrap, seed=seed),
        tar_at_far=tar_at_far(comparison, FARS, bootstrap=bootstrap, seed=seed),
        fnir_at_fpir=fnir_at_fpir(comparison, FPIRS, bootstrap=bootstrap, seed=seed),
    )


def rank_1(comparison: Comparison, *, bootstrap: int = BOOTSTRAP, seed: int = 0) -> Interval:
    """Share of mated probes whose own face beats every other face of the gallery."""
    mated = _mated(comparison)
    groups, count = identity_groups(comparison.probe_identities[mated])
    correct = np.bincount(groups, weights=comparison.ranks[mated] == 1, minlength=count)  # [I]
    probes = np.bincount(groups, minlength=count)  # [I]
    drawn = [(w @ correct) / (w @ probes) for w in resamples(count, bootstrap, seed)]
    return interval_of(float(correct.sum() / probes.sum()), np.concatenate(drawn), count)


def cmc(comparison: Comparison, ranks_max: int) -> NDArray[np.float64]:
    """Share of mated probes [ranks_max] whose subject is among the first 1, 2, … faces of the gallery."""
    ranks = comparison.ranks[_mated(comparison)]
    found = np.bincount(np.minimum(ranks, ranks_max + 1), minlength=ranks_max + 2)[1:-1]
    return np.asarray(np.cumsum(found) / len(ranks))


def tar_at_far(
    comparison: Comparison, fars: tuple[str, ...] = FARS, *, bootstrap: int = BOOTSTRAP, seed: int = 0
) -> dict[str, Interval]:
    """True-accept rate over all genuine pairs, at false-accept rates over all impostor pairs."""
    _mated(comparison)
    groups, count = identity_groups(comparison.probe_identities)
    trials = _Trials(
        genuine=comparison.genuine,
        genuine_groups=groups[comparison.genuine_probes],
        impostor=comparison.tail,
        impostor_groups=groups[comparison.tail_probes],
        impostors=np.bincount(groups, weights=comparison.impostors, minlength=count),
    )
    return _accepted_at(trials, fars, bootstrap, seed)


def fnir_at_fpir(
    comparison: Comparison, fpirs: tuple[str, ...] = FPIRS, *, bootstrap: int = BOOTSTRAP, seed: int = 0
) -> dict[str, Interval]:
    """False-negative identification rate of mated searches, at false-positive rates of non-mated ones."""
    mated = _mated(comparison)
    groups, count = identity_groups(comparison.probe_identities)
    first = comparison.ranks[mated] == 1
    order = np.argsort(-comparison.best_impostor, kind="stable")
    trials = _Trials(
        genuine=np.where(first, comparison.best_genuine[mated], np.float32(-np.inf)),
        genuine_groups=groups[mated],
        impostor=comparison.best_impostor[order],
        impostor_groups=groups[order],
        impostors=np.bincount(groups, minlength=count),
    )
    accepted = _accepted_at(trials, fpirs, bootstrap, seed)
    return {k: Interval(value=1 - i.value, low=1 - i.high, high=1 - i.low) for k, i in accepted.items()}


@dataclass(frozen=True, slots=True)
class _Trials:
    """Genuine and impostor trials, each belonging to a group (a probe identity) that is drawn as a whole."""

    genuine: NDArray[np.float32]  # [M]
    genuine_groups: Rows  # [M]
    impostor: NDArray[np.float32]  # [K], falling: the highest of all impostors
    impostor_groups: Rows  # [K]
    impostors: NDArray[np.float64] | Rows  # [I]: all impostor trials of each group


def _accepted_at(trials: _Trials, rates: tuple[str, ...], bootstrap: int, seed: int) -> dict[str, Interval]:
    total = int(trials.impostors.sum())
    allowed = {rate: int(float(rate) * total + 1e-9) for rate in rates}
    measured = {rate: count for rate, count in allowed.items() if count >= 1}
    drawn: dict[str, list[NDArray[np.float64]]] = {rate: [] for rate in measured}
    if max(measured.values(), default=0) >= len(trials.impostor):
        raise ValueError("a rate lies beyond the impostor tail that was kept")
    edges = _edges(len(trials.impostor))
    impostor_table, genuine_table = _tables(trials, edges)
    genuine = np.bincount(trials.genuine_groups, minlength=len(trials.impostors))  # [I]
    for weights in resamples(len(trials.impostors), bootstrap, seed):  # [b, I]
        above = weights @ impostor_table  # [b, E]: impostors above each edge, rising
        rows = np.arange(len(above))
        share = (weights @ genuine_table) / np.maximum(weights @ genuine, 1)[:, None]  # [b, E]
        impostors = weights @ trials.impostors  # [b]
        for rate in measured:
            edge = (above <= float(rate) * impostors[:, None] + 1e-9).sum(axis=1) - 1  # the lowest threshold allowed
            drawn[rate].append(share[rows, np.maximum(edge, 0)])
    identities = int((genuine > 0).sum())
    values = {rate: float((trials.genuine > trials.impostor[count]).mean()) for rate, count in measured.items()}
    return {rate: interval_of(value, np.concatenate(drawn[rate]), identities) for rate, value in values.items()}


def _edges(impostors: int) -> Rows:
    """Places in the falling impostors that a resample tries as threshold: all of few, else ever sparser ones."""
    if impostors <= EDGES_MAX:
        return np.arange(impostors)
    return np.unique(np.geomspace(1, impostors, EDGES_MAX).astype(np.int64)) - 1


def _tables(trials: _Trials, edges: Rows) -> tuple[Counts, Counts]:
    """Impostor and genuine trials of each group above each edge, both [I, E]."""
    thresholds = trials.impostor[edges]  # [E], falling
    impostor = _count_above(trials.impostor, trials.impostor_groups, thresholds, len(trials.impostors))
    return impostor, _count_above(trials.genuine, trials.genuine_groups, thresholds, len(trials.impostors))


def _count_above(
    similarities: NDArray[np.float32], groups: Rows, thresholds: NDArray[np.float32], count: int
) -> Counts:
    first = np.searchsorted(-thresholds, -similarities, side="right")  # the first edge that lies below
    cells = np.bincount(groups * (len(thresholds) + 1) + first, minlength=count * (len(thresholds) + 1))
    table = cells.reshape(count, -1)[:, :-1]  # [I, E]
    return np.cumsum(table, axis=1).astype(np.float32)


def _mated(comparison: Comparison) -> NDArray[np.bool_]:
    if not comparison.mated.any():
        raise ValueError("no probe has its subject in the gallery")
    if not comparison.impostors.any():
        raise ValueError("the gallery holds nobody but the probes' own subjects")
    return comparison.mated


def split_probes_gallery(identities: Identities, seed: int) -> tuple[Rows, Rows]:
    """Rows of probes and of a gallery: one face of each identity is enrolled, drawn by seed; the rest are probes.

    An identity with a single face is enrolled and has no probe, and so is a distractor; every face of identity -1 is
    enrolled too. Both are in rising order.
    """
    order = np.random.default_rng(seed).permutation(len(identities))
    known = order[identities[order] >= 0]
    _, first = np.unique(identities[known], return_index=True)
    enrolled = identities < 0
    enrolled[known[first]] = True
    return np.flatnonzero(~enrolled), np.flatnonzero(enrolled)
