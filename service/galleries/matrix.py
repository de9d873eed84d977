"""The faces of one gallery in memory, searched by an exact scan."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Features
from service.galleries.base import Face, FaceBatch, Match, Matches

BLOCK_ROWS = 8192  # grown block by block: no copy of what is there, at most one block to spare
PROBES_PER_SCAN = 64  # bounds the similarities held at once to 2 MiB

_Ranked = tuple[float, str, int]  # (-similarity, face_id, row): sorts by similarity, ties by face_id


class FaceMatrix:
    """Unit-length features in float32 blocks [8192, d], one row a face. Not thread-safe: the store guards it.

    Search is exact and repeatable: a float32 scan leaves out only rows that its own rounding cannot bring back, and
    float64 orders the rest, so equal features tie wherever they lie.
    """

    def __init__(self, dim: int) -> None:
        self._blocks: list[Features] = []
        self._faces: list[Face] = []  # by row
        self._rows: dict[str, int] = {}  # face_id -> row
        self._subjects: Counter[str] = Counter()
        self._dim = dim
        # |computed - true| <= d u / (1 - d u) for unit vectors (Higham, Accuracy and Stability, 3.1), u = eps / 2; the
        # other half of eps covers the denominator, norms that are 1 to float32 only, and floors kept in float32.
        self._rounding = dim * float(np.finfo(np.float32).eps)

    def __len__(self) -> int:
        return len(self._faces)

    @property
    def subjects(self) -> int:
        """How many subjects have a face."""
        return len(self._subjects)

    def face(self, face_id: str) -> Face | None:
        """The face of this id, if there is one."""
        row = self._rows.get(face_id)
        return None if row is None else self._faces[row]

    def face_ids(self) -> list[str]:
        """All ids in order."""
        return sorted(self._rows)

    def read(self, face_ids: Sequence[str]) -> FaceBatch:
        """Faces and features [N, d] of those ids that are still enrolled."""
        rows = [self._rows[face_id] for face_id in face_ids if face_id in self._rows]
        features = np.empty((len(rows), self._dim), np.float32)
        for i, row in enumerate(rows):
            features[i] = self._feature(row)
        return [self._faces[row] for row in rows], features

    def put(self, faces: Sequence[Face], features: Features) -> None:
        """Add or replace faces [N] with features [N, d]."""
        for face, feature in zip(faces, features, strict=True):
            row = self._rows.get(face.face_id)
            if row is None:
                row = self._append(face)
            else:
                self._forget_subject(self._faces[row].subject)
                self._faces[row] = face
            self._subjects[face.subject] += 1
            self._feature(row)[:] = feature

    def remove(self, face_id: str) -> None:
        """Remove an enrolled face; the last row takes its place, and its old place is cleared."""
        row, last = self._rows.pop(face_id), len(self._faces) - 1
        self._forget_subject(self._faces[row].subject)
        moved = self._faces.pop()
        if row != last:
            self._faces[row] = moved
            self._rows[moved.face_id] = row
            self._feature(row)[:] = self._feature(last)
        self._feature(last)[:] = 0.0
        if last % BLOCK_ROWS == 0:
            self._blocks.pop()

    def search(self, probes: Features, top_k: int) -> Matches:
        """The top_k faces of each unit-length probe [N, d], N ≤ 64, most similar first, ties by face_id."""
        return [
            [Match(face_id, self._faces[row].subject, _cosine(-negated)) for negated, face_id, row in ranked]
            for ranked in self._scan(probes, top_k)
        ]

    def _scan(self, probes: Features, top_k: int) -> list[list[_Ranked]]:
        best: list[list[_Ranked]] = [[] for _ in probes]
        floors = np.full(len(probes), -np.inf, np.float32)  # [N] below which a row cannot be among the top_k
        for first_row, block in self._filled_blocks():
            similarities = probes @ block.T  # [N, B]
            if first_row == 0 and len(block) > top_k:
                floors = np.partition(similarities, -top_k, axis=1)[:, -top_k] - np.float32(2 * self._rounding)  # [N]
            for probe in np.flatnonzero((similarities >= floors[:, None]).any(axis=1)):
                hits = np.flatnonzero(similarities[probe] >= floors[probe])
                ranked = self._rank(probes[probe], block[hits], first_row + hits)
                best[probe] = sorted(best[probe] + ranked)[:top_k]
                if len(best[probe]) == top_k:
                    floors[probe] = -best[probe][-1][0] - self._rounding
        return best

    def _rank(self, probe: Features, features: Features, rows: NDArray[np.intp]) -> list[_Ranked]:
        # Row by row in float64: a matrix product would round equal rows differently by where they lie.
        similarities = (features.astype(np.float64) * probe).sum(axis=1)  # [H]
        return [
            (-similarity, self._faces[row].face_id, row)
            for similarity, row in zip(similarities.tolist(), rows.tolist(), strict=True)
        ]

    def _filled_blocks(self) -> Iterator[tuple[int, Features]]:
        for index, block in enumerate(self._blocks):
            first_row = index * BLOCK_ROWS
            yield first_row, block[: len(self._faces) - first_row]

    def _append(self, face: Face) -> int:
        row = len(self._faces)
        if row % BLOCK_ROWS == 0:
            self._blocks.append(np.empty((BLOCK_ROWS, self._dim), np.float32))
        self._faces.append(face)
        self._rows[face.face_id] = row
        return row

    def _feature(self, row: int) -> Features:
        block, offset = divmod(row, BLOCK_ROWS)
        feature: Features = self._blocks[block][offset]  # [d], a view
        return feature

    def _forget_subject(self, subject: str) -> None:
        self._subjects[subject] -= 1
        if not self._subjects[subject]:
            del self._subjects[subject]


def _cosine(similarity: float) -> float:
    return min(1.0, max(-1.0, similarity))
