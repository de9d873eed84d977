"""Approximate search of a copy: sketches choose the candidates, which are ranked exactly by their features."""

from typing import Final

import numpy as np

from contract.vectors import Features
from service.galleries.embedded.columns import SlotArray
from service.galleries.embedded.feature_blocks import FeatureBlocks
from service.galleries.embedded.roster import Roster
from service.galleries.embedded.scan import (
    LOWEST,
    Similarities,
    best_faces,
    best_subjects,
    match_of,
    part_similarities,
    rank_exactly,
)
from service.galleries.values import EVERYWHERE, Found, Ranking

DIRECTIONS_MAX: Final = 64  # of a basis, and half the dimension at most
CANDIDATES_MIN: Final = 256  # that are compared with a probe in full
CANDIDATES_PER_MATCH: Final = 4

BEST_OF: Final = {Ranking.FACES: best_faces, Ranking.SUBJECTS_BY_BEST: best_subjects}


def principal_directions(features: Features) -> Features:
    """The basis [k, d] that keeps most of the similarities among features [N, d]: not centred, as they are not."""
    features = features.astype(np.float64)
    _, directions = np.linalg.eigh(features.T @ features)  # [d, d] in columns, the strongest last
    dim = features.shape[1]
    basis: Features = directions.T[: -min(DIRECTIONS_MAX, max(1, dim // 2)) - 1 : -1].astype(np.float32, order="C")
    return basis


def nearest_by_sketch(
    copy: FeatureBlocks, roster: Roster, probes: Features, top_k: int, ranking: Ranking
) -> Found | None:
    """The top_k of each probe [N, d], N ≤ 64; None if a probe's candidates have too few subjects to tell."""
    best_of = BEST_OF[ranking]
    candidates, searched = _candidates(copy, roster, probes, max(CANDIDATES_MIN, CANDIDATES_PER_MATCH * top_k))
    matches = []
    for probe, slots in zip(probes, candidates, strict=True):
        best = best_of(roster, rank_exactly(copy, roster, probe, slots), top_k)
        if len(best) < top_k and len(slots) < searched:
            return None
        matches.append([match_of(roster, ranked) for ranked in best])
    return Found(matches, searched, exact=False)


class _Highest:
    """The slots of the `count` highest similarities seen. What lies below `floor` is not among them."""

    def __init__(self, count: int) -> None:
        self.floor = LOWEST
        self._count = count
        self._similarities = np.empty(0, np.float32)
        self._slots: SlotArray = np.empty(0, np.int64)

    def add(self, similarities: Similarities, slots: SlotArray) -> None:
        self._similarities = np.concatenate([self._similarities, similarities])
        self._slots = np.concatenate([self._slots, slots])
        if len(self._slots) > 2 * self._count:  # seldom, so that most blocks cost no more than a comparison
            self._keep()

    def slots(self) -> SlotArray:
        if len(self._slots) > self._count:
            self._keep()
        return self._slots

    def _keep(self) -> None:
        highest = np.argpartition(self._similarities, -self._count)[-self._count :]
        self._similarities, self._slots = self._similarities[highest], self._slots[highest]
        self.floor = float(self._similarities.min())


def _candidates(copy: FeatureBlocks, roster: Roster, probes: Features, count: int) -> tuple[list[SlotArray], int]:
    """For each probe the slots of the `count` faces with the most similar sketches, and how many faces there are."""
    assert copy.basis is not None  # noqa: S101 - for the type checker
    sketches = probes @ copy.basis.T  # [N, k]
    highest = [_Highest(count) for _ in probes]
    searched = 0
    for part in copy.parts(roster, EVERYWHERE, sketched=True):
        searched += part.faces
        similarities = part_similarities(sketches, part)  # [N, B]
        floors = np.array([best.floor for best in highest], np.float32)
        for probe in np.flatnonzero(similarities.max(axis=1) >= floors).tolist():
            row = similarities[probe]
            offsets = np.flatnonzero(row >= floors[probe])
            highest[probe].add(row[offsets], offsets + part.first)
    return [best.slots() for best in highest], searched
