"""Exact search of a copy for the most similar faces, or for the subjects with the most similar face."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Features
from service.galleries.embedded.columns import Numbers, SlotArray
from service.galleries.embedded.feature_blocks import FeatureBlocks, Part
from service.galleries.embedded.roster import Roster
from service.galleries.values import Found, Match, Where

PROBES_PER_SCAN = 64  # bounds the similarities held at once to 2 MiB
LOWEST = float(np.finfo(np.float32).min)  # above -inf, which stands for slots that are not searched

Similarities = NDArray[np.float32]
Ranked = tuple[float, str, int]  # (-similarity, face_id, slot): sorts by similarity, ties by face_id
BestOf = Callable[[Roster, list[Ranked], int], list[Ranked]]


def rounding(dim: int) -> float:
    """How far a float32 similarity of unit vectors may lie from the true one.

    |computed - true| <= d u / (1 - d u) (Higham, Accuracy and Stability, 3.1), u = eps / 2; the other half of eps is
    for the denominator, norms that are 1 to float32 only, and floors kept in float32.
    """
    return dim * float(np.finfo(np.float32).eps)


def rank_exactly(copy: FeatureBlocks, roster: Roster, probe: Features, slots: SlotArray) -> list[Ranked]:
    """The faces in slots [H], as they come, by their float64 similarity to a probe [d]."""
    negated = -copy.similarities(probe, slots)
    numbers = slots.tolist()
    return [*zip(negated.tolist(), map(roster.face_id, numbers), numbers, strict=True)]


def match_of(roster: Roster, ranked: Ranked) -> Match:
    """The match that a ranked face is, its similarity kept within [-1, 1]."""
    negated, face_id, slot = ranked
    return Match(face_id, roster.subject_name(slot), min(1.0, max(-1.0, -negated)))


def nearest_faces(copy: FeatureBlocks, roster: Roster, probes: Features, top_k: int, where: Where) -> Found:
    """The top_k faces of each probe [N, d], N ≤ 64."""
    return _scan(copy, roster, probes, where, best_faces, top_k, subjects=False)


def nearest_subjects(copy: FeatureBlocks, roster: Roster, probes: Features, top_k: int, where: Where) -> Found:
    """The top_k subjects of each probe [N, d], N ≤ 64, by the best face of each."""
    return _scan(copy, roster, probes, where, best_subjects, top_k, subjects=True)


def best_faces(_: Roster, ranked: list[Ranked], top_k: int) -> list[Ranked]:
    """The top_k of these faces, in order."""
    return sorted(ranked)[:top_k]


def best_subjects(roster: Roster, ranked: list[Ranked], top_k: int) -> list[Ranked]:
    """The best face of each of the top_k subjects of these faces, in order."""
    best: dict[int, Ranked] = {}
    subjects = roster.subjects_of(np.array([slot for _, _, slot in ranked], np.int64)).tolist()
    for subject, face in sorted(zip(subjects, ranked, strict=True), key=lambda pair: pair[1]):
        best.setdefault(subject, face)
    return list(best.values())[:top_k]


def part_similarities(probes: Features, part: Part) -> Similarities:
    """Similarities [N, B] in float32, -inf where a slot is not searched."""
    similarities: Similarities = probes @ part.features
    if part.searched is not None:
        np.copyto(similarities, -np.inf, where=~part.searched)
    return similarities


def _scan(
    copy: FeatureBlocks,
    roster: Roster,
    probes: Features,
    where: Where,
    best_of: BestOf,
    top_k: int,
    *,
    subjects: bool,
) -> Found:
    """Keep the best of each block: float32 leaves out what its rounding cannot bring back, float64 orders the rest.

    A face below a probe's floor cannot be among its top_k, so that after the first blocks most have no candidate.
    """
    best: list[list[Ranked]] = [[] for _ in probes]
    floors = np.full(len(probes), LOWEST, np.float32)  # [N]
    margin, searched = rounding(copy.dim), 0
    for part in copy.parts(roster, where):
        searched += part.faces
        similarities = part_similarities(probes, part)
        for probe in np.flatnonzero(similarities.max(axis=1) >= floors).tolist():
            row, floor = similarities[probe], floors[probe]
            slots = np.flatnonzero(row >= floor) + part.first  # [H]
            if subjects or floor == LOWEST:
                groups = roster.subjects_of(slots) if subjects else None
                slots = slots[_candidates(row[slots - part.first], groups, top_k, 2 * margin)]
            ranked = rank_exactly(copy, roster, probes[probe], slots)
            best[probe] = best_of(roster, [*best[probe], *ranked], top_k)
            if len(best[probe]) == top_k:
                floors[probe] = -best[probe][-1][0] - margin
    return Found([[match_of(roster, ranked) for ranked in faces] for faces in best], searched)


def _candidates(similarities: Similarities, groups: Numbers | None, top_k: int, margin: float) -> NDArray[np.bool_]:
    """Which of H faces can be the best of its group (None: each is its own) and among the top_k groups of these H."""
    if groups is None:
        return similarities >= _highest(similarities, top_k) - margin
    _, group = np.unique(groups, return_inverse=True)
    best = np.full(group.max() + 1, -np.inf, np.float32)  # [G]
    np.maximum.at(best, group, similarities)
    floor = max(LOWEST, _highest(best, top_k) - margin)
    return (similarities >= floor) & (similarities >= best[group] - margin)


def _highest(values: Similarities, count: int) -> float:
    return LOWEST if len(values) <= count else float(np.partition(values, -count)[-count])
