"""Exact search of a copy for the subjects whose faces are the most similar on average."""

from math import fsum

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Features
from service.galleries.embedded.columns import BLOCK_ROWS, Numbers, SlotArray
from service.galleries.embedded.feature_blocks import FeatureBlocks
from service.galleries.embedded.roster import Roster
from service.galleries.embedded.scan import Ranked, Similarities, match_of, part_similarities, rank_exactly, rounding
from service.galleries.values import Found, Match, Where

PROBES_PER_MEAN_SCAN = 8  # each holds a float32 for every slot meanwhile: 32 bytes a face in all


def nearest_subjects_by_mean(copy: FeatureBlocks, roster: Roster, probes: Features, top_k: int, where: Where) -> Found:
    """The top_k subjects of each probe [N, d], N ≤ 8, by the mean over those of its faces that are searched.

    Means of float32 similarities leave out the subjects that rounding cannot bring back; float64 orders the rest.
    """
    similarities = np.full((len(probes), roster.faces.end), -np.inf, np.float32)
    for part in copy.parts(roster, where):
        similarities[:, part.first : part.first + part.features.shape[1]] = part_similarities(probes, part)
    slots = np.flatnonzero(np.isfinite(similarities[0]))  # [M], the same for every probe
    if not len(slots):
        return Found([[] for _ in probes], 0)
    subjects = roster.subjects_of(slots)  # [M]
    matches = []
    for probe, row in zip(probes, similarities, strict=True):
        likely = _likely(row[slots], subjects, top_k, 2 * rounding(copy.dim))
        matches.append(_rank(copy, roster, probe, slots[likely], subjects[likely], top_k))
    return Found(matches, len(slots))


def _likely(similarities: Similarities, subjects: Numbers, top_k: int, margin: float) -> NDArray[np.bool_]:
    """Which of M faces belong to a subject that may be among the top_k."""
    faces = np.bincount(subjects)  # [S]
    sums = np.bincount(subjects, weights=similarities)  # [S], in float64
    means = np.divide(sums, faces, out=np.full(len(faces), -np.inf), where=faces > 0)
    if len(means) > top_k:
        means[means < np.partition(means, -top_k)[-top_k] - margin] = -np.inf
    likely: NDArray[np.bool_] = np.isfinite(means)[subjects]
    return likely


def _rank(
    copy: FeatureBlocks, roster: Roster, probe: Features, slots: SlotArray, subjects: Numbers, top_k: int
) -> list[Match]:
    ranked: dict[int, list[Ranked]] = {}
    for start in range(0, len(slots), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        exact = rank_exactly(copy, roster, probe, slots[rows])
        for subject, face in zip(subjects[rows].tolist(), exact, strict=True):
            ranked.setdefault(subject, []).append(face)
    # fsum rounds once, whatever the order: a mean does not depend on which slots its faces have.
    means = []
    for faces in ranked.values():
        _, face_id, slot = min(faces)
        means.append((fsum(negated for negated, _, _ in faces) / len(faces), face_id, slot))
    return [match_of(roster, mean) for mean in sorted(means)[:top_k]]
