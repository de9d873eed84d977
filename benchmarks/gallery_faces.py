"""Synthetic faces that any process can make again batch by batch, and who is nearest to a probe in float64."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.spaces import FeatureSpace
from contract.vectors import Features, l2_normalize
from service.galleries.values import Face

BATCH_FACES = 1000
NOISE = 1.0  # added to a unit-length feature at unit length: another photo of the same face, at a cosine near 0.7
PROBE_STREAM, STRANGER_STREAM = 1, 2  # of random numbers; 0 are the faces

OnBatch = Callable[[int, int], None]  # batches done, in all
Rows = NDArray[np.int64]


def space_of(dim: int) -> FeatureSpace:
    """The space of synthetic faces."""
    return FeatureSpace(id=f"bench-{dim}", dim=dim)


def features_of_batch(batch: int, dim: int) -> Features:
    """Unit-length features [1000, dim] of one batch, the same in every process."""
    return l2_normalize(np.random.default_rng([0, batch]).standard_normal((BATCH_FACES, dim), dtype=np.float32))


def faces_of_batch(batch: int) -> list[Face]:
    """One face for each subject: nothing is shared, so that bytes a face are the most there can be."""
    rows = range(batch * BATCH_FACES, (batch + 1) * BATCH_FACES)
    return [Face(f"face-{row:08d}", f"subject-{row:08d}", enrolled_at_ms=row) for row in rows]


def row_of(face_id: str) -> int:
    """Which face an id is of."""
    return int(face_id.removeprefix("face-"))


def probes_of(count: int, faces: int, dim: int, seed: int = 0) -> Features:
    """Unit-length probes [count, dim]: half other photos of enrolled faces, half strangers, in turn."""
    generator = np.random.default_rng([PROBE_STREAM, seed])
    rows = generator.integers(faces, size=(count + 1) // 2)
    shown = np.stack([features_of_batch(int(row) // BATCH_FACES, dim)[row % BATCH_FACES] for row in rows])
    shown += NOISE * l2_normalize(generator.standard_normal(shown.shape, dtype=np.float32))
    strangers = np.random.default_rng([STRANGER_STREAM, seed]).standard_normal(shown.shape, dtype=np.float32)
    mixed = np.stack([shown, strangers], axis=1).reshape(-1, dim)[:count]
    return l2_normalize(mixed)


@dataclass(frozen=True, slots=True)
class Nearest:
    """For each probe [P] the greatest similarity in a gallery, and that of the face a store has found."""

    best: NDArray[np.float64]
    found: NDArray[np.float64]

    @property
    def recall(self) -> float:
        """Share of probes for which nobody is more similar than the face that was found; ties are right answers."""
        return float((self.found >= self.best).mean())


def compare_all(probes: Features, found_rows: Sequence[int], faces: int, dim: int, on_batch: OnBatch) -> Nearest:
    """Compare probes [P, dim] with every face in float64, a batch at a time: P times 1,000 similarities are held.

    A probe for which nothing was found has `found_rows` -1, and minus infinity as its similarity.
    """
    exact, rows = probes.astype(np.float64), np.asarray(found_rows, np.int64)
    best, found = np.full(len(probes), -np.inf), np.full(len(probes), -np.inf)
    batches = faces // BATCH_FACES
    for batch in range(batches):
        similarities = exact @ features_of_batch(batch, dim).astype(np.float64).T  # [P, 1000]
        np.maximum(best, similarities.max(axis=1), out=best)
        here = np.flatnonzero(rows // BATCH_FACES == batch)
        found[here] = similarities[here, rows[here] % BATCH_FACES]
        on_batch(batch + 1, batches)
    return Nearest(best, found)
