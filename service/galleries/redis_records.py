"""How galleries lie in Redis: keys, commands, and the way from replies back to faces and matches."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from contract.spaces import FeatureSpace
from contract.vectors import Features, l2_normalize
from service.galleries.base import Face, FaceBatch, Match

GALLERIES_KEY = "r3an:galleries"  # the names of all galleries
FACE_FIELDS = ("subject", "derived_from", "translator", "feature")
HALF = np.dtype("<f2")


@dataclass(frozen=True, slots=True)
class GalleryRecord:
    """A gallery and where its parts lie. All its keys share the hash tag `{name}`; the names of all galleries do not.

    `incarnation` is new with every creation and part of every key: what is left of a dropped gallery never shows in
    the next of its name.
    """

    name: str
    space: FeatureSpace
    incarnation: str

    @classmethod
    def fresh(cls, name: str, space: FeatureSpace) -> Self:
        """The record of a gallery about to be created."""
        return cls(name, space, secrets.token_hex(4))

    @classmethod
    def read(cls, name: str, value: bytes) -> Self:
        """The record as it was stored."""
        incarnation, dim, space = value.decode().split(" ")
        return cls(name, FeatureSpace(id=space, dim=int(dim)), incarnation)

    @property
    def value(self) -> bytes:
        """The record as it is stored. A space's id holds no blank."""
        return f"{self.incarnation} {self.space.dim} {self.space.id}".encode()

    @staticmethod
    def key_of(name: str) -> str:
        """Key of a gallery's record; its existence is the gallery's."""
        return f"r3an:{{{name}}}"

    @staticmethod
    def dropped_key_of(name: str) -> str:
        """Key of the set of dropped records that still have faces to purge."""
        return f"r3an:{{{name}}}:dropped"

    @property
    def key(self) -> str:
        """Key of this record."""
        return self.key_of(self.name)

    @property
    def index(self) -> str:
        """Name of the index."""
        return f"{self.key}:{self.incarnation}:index"

    @property
    def faces_key(self) -> str:
        """Key of the sorted set of face ids."""
        return f"{self.key}:{self.incarnation}:faces"

    @property
    def subjects_key(self) -> str:
        """Key of the number of subjects."""
        return f"{self.key}:{self.incarnation}:subjects"

    def face_key(self, face_id: str) -> str:
        """Key of a face; without an id, the prefix of all."""
        return f"{self.key}:{self.incarnation}:face:{face_id}"

    def subject_key(self, subject: str) -> str:
        """Key of the set of a subject's face ids; without a subject, the prefix of all."""
        return f"{self.key}:{self.incarnation}:subject:{subject}"

    def create_index_command(self) -> tuple[str | int, ...]:
        """FLAT is a full scan: no face is missed for an index's sake."""
        vector = ("FLAT", 6, "TYPE", "FLOAT16", "DIM", self.space.dim, "DISTANCE_METRIC", "IP")
        prefix = ("ON", "HASH", "PREFIX", 1, self.face_key(""))
        return ("FT.CREATE", self.index, *prefix, "SCHEMA", "feature", "VECTOR", *vector)

    def search_command(self, probe: bytes, top_k: int) -> tuple[str | int | bytes, ...]:
        """The top_k nearest to a probe. TIMEOUT 0: a server's default would cut the scan short without a word."""
        query = ("*=>[KNN $k @feature $probe AS distance]", "PARAMS", 4, "k", top_k, "probe", probe)
        answer = ("SORTBY", "distance", "RETURN", 2, "subject", "feature", "LIMIT", 0, top_k)
        return ("FT.SEARCH", self.index, *query, *answer, "TIMEOUT", 0, "DIALECT", 2)


def half_precision(features: Features) -> Iterator[bytes]:
    """Each row of [N, d] as little-endian float16."""
    return (row.tobytes() for row in features.astype(HALF))


def face_arguments(faces: Sequence[Face], features: Features) -> Iterator[str | bytes]:
    """Five arguments a face for the script `UPSERT`."""
    for face, feature in zip(faces, half_precision(features), strict=True):
        yield from (face.face_id, face.subject, face.derived_from or "", face.translator or "", feature)


def read_faces(face_ids: Sequence[str], rows: Sequence[Sequence[bytes | None]], dim: int) -> FaceBatch:
    """Faces and unit-length features [N, d] from their FACE_FIELDS; those no longer there are left out."""
    faces: list[Face] = []
    packed: list[bytes] = []
    for face_id, (subject, derived_from, translator, feature) in zip(face_ids, rows, strict=True):
        if subject is not None and feature is not None:
            faces.append(Face(face_id, subject.decode(), _text(derived_from), _text(translator)))
            packed.append(feature)
    features = np.frombuffer(b"".join(packed), HALF).reshape(len(packed), dim)
    return faces, l2_normalize(features.astype(np.float32))


def read_matches(record: GalleryRecord, reply: Sequence[Any], probe: NDArray[np.float32]) -> list[Match]:
    """Matches from the reply to `search_command`, rescored against the probe [d], most similar first, ties by face_id.

    The cosine is taken row by row in float64 from the stored feature at unit length: equal features tie.
    """
    keys, documents = reply[1::2], [dict(zip(row[::2], row[1::2], strict=True)) for row in reply[2::2]]
    packed = b"".join(document[b"feature"] for document in documents)
    features = np.frombuffer(packed, HALF).reshape(len(documents), record.space.dim).astype(np.float64)  # [K, d]
    similarities = (features * probe).sum(axis=1) / np.linalg.norm(features, axis=1)  # [K]
    prefix = len(record.face_key(""))
    matches = [
        Match(key.decode()[prefix:], document[b"subject"].decode(), min(1.0, max(-1.0, similarity)))
        for key, document, similarity in zip(keys, documents, similarities.tolist(), strict=True)
    ]
    return sorted(matches, key=lambda match: (-match.similarity, match.face_id))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
