"""Small seeded galleries in memory, and the plainest reference for a search: float64, all faces, sorted."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np

from contract.vectors import Features, l2_normalize
from service.galleries.embedded.feature_blocks import FeatureBlocks
from service.galleries.embedded.roster import Roster
from service.galleries.values import EVERYWHERE, Where

DIM = 24
TAG_SETS = ((), ("north",), ("north", "staff"))


def unit_features(rows: int, dim: int = DIM, seed: int = 0) -> Features:
    """Seeded unit-length features [rows, dim]."""
    return l2_normalize(np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32))


@dataclass(frozen=True)
class SmallGallery:
    """Face so-and-so in its slot; ids that do not follow the slots, subjects, tags and times that follow them."""

    features: Features
    faces_per_subject: int = 1

    def face_id(self, slot: int) -> str:
        return f"face-{slot * 7919 % len(self.features):06d}"

    def subject(self, slot: int) -> str:
        return f"subject-{slot % self.subjects}"

    @property
    def subjects(self) -> int:
        return -(-len(self.features) // self.faces_per_subject)

    def filled(self) -> tuple[FeatureBlocks, Roster]:
        """The gallery in memory, with one copy."""
        rows = len(self.features)
        slots = np.arange(rows)
        roster, copy = Roster(), FeatureBlocks(self.features.shape[1])
        roster.faces.take(rows)
        roster.subjects.take(self.subjects)
        roster.put_subjects(np.arange(self.subjects), [self.subject(slot) for slot in range(self.subjects)])
        tags = [json.dumps(TAG_SETS[slot % 3]) for slot in range(rows)]
        roster.put(slots, [self.face_id(slot) for slot in range(rows)], slots % self.subjects, tags, list(range(rows)))
        copy.put(slots, self.features)
        return copy, roster

    def passing(self, where: Where) -> list[int]:
        """The slots of faces that pass a filter."""
        return [
            slot
            for slot in range(len(self.features))
            if set(where.tags) <= set(TAG_SETS[slot % 3])
            and (where.from_ms is None or slot >= where.from_ms)
            and (where.until_ms is None or slot < where.until_ms)
        ]

    def similarity(self, slot: int, probe: Features) -> float:
        return float((self.features[slot].astype(np.float64) * probe).sum())

    def faces(self, probe: Features, top_k: int, where: Where = EVERYWHERE) -> list[tuple[float, str]]:
        """The most similar faces."""
        found = [(self.similarity(slot, probe), self.face_id(slot)) for slot in self.passing(where)]
        return sorted(found, key=lambda face: (-face[0], face[1]))[:top_k]

    def subjects_by(
        self, probe: Features, top_k: int, where: Where = EVERYWHERE, *, mean: bool
    ) -> list[tuple[float, str]]:
        """The most similar subjects, each with its most similar face."""
        of_subject: dict[str, list[tuple[float, str]]] = {}
        for slot in self.passing(where):
            face = (-self.similarity(slot, probe), self.face_id(slot))
            of_subject.setdefault(self.subject(slot), []).append(face)
        return sorted_subjects(list(of_subject.values()), mean=mean)[:top_k]


def sorted_subjects(subjects: Sequence[list[tuple[float, str]]], *, mean: bool) -> list[tuple[float, str]]:
    """Subjects, each as its faces with negated similarities, by their best face or their mean."""
    ranked = []
    for faces in subjects:
        best, face_id = min(faces)
        ranked.append((fsum(negated for negated, _ in faces) / len(faces) if mean else best, face_id))
    return [(-negated, face_id) for negated, face_id in sorted(ranked)]
