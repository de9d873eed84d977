"""The seam behind which enrolled faces are kept and searched."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.errors import GallerySpaceMismatchError


@dataclass(frozen=True, slots=True)
class GalleryInfo:
    """A gallery: a name, ONE feature space, and how much it holds."""

    name: str
    space: FeatureSpace
    faces: int
    subjects: int


@dataclass(frozen=True, slots=True)
class Face:
    """One enrolled feature of a subject, without the feature itself.

    `derived_from` names the source space of a translated enrolment (None: native), `translator` its id@version.
    """

    face_id: str
    subject: str
    derived_from: str | None = None
    translator: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A gallery face found for a probe, with its cosine similarity in [-1, 1]."""

    face_id: str
    subject: str
    similarity: float


def check_space(held: FeatureSpace, features: Features, space: FeatureSpace | None) -> None:
    """Refuse features [N, d] that are not of the space a gallery holds. Raises GallerySpaceMismatchError."""
    if features.shape[1] != held.dim or (space is not None and space != held):
        raise GallerySpaceMismatchError(f"the gallery holds the feature space {held.id!r}, {held.dim} dimensions")


# Named here: inside the Protocol `list` is the method.
Matches = list[list[Match]]  # one list of matches a probe
FaceBatch = tuple[list[Face], Features]  # N faces and their features [N, d]


class GalleryStore(Protocol):
    """Named galleries of unit-length features. Search is exact. A returned write survives kill -9."""

    @property
    def name(self) -> str:
        """`local` or `redis`; the metric label."""
        ...

    async def create(self, gallery: str, space: FeatureSpace) -> bool:
        """Create a gallery; True if it is new, False if it exists in the same space.

        Raises:
            GallerySpaceMismatchError: it exists in another space.
            GalleryLimitError: the bound on galleries is reached.
        """
        ...

    async def info(self, gallery: str) -> GalleryInfo:
        """Describe a gallery. Raises UnknownGalleryError."""
        ...

    async def list(self) -> list[GalleryInfo]:
        """All galleries, by name."""
        ...

    async def drop(self, gallery: str) -> None:
        """Delete a gallery with all faces. Raises UnknownGalleryError."""
        ...

    async def upsert(
        self, gallery: str, faces: Sequence[Face], features: Features, space: FeatureSpace | None = None
    ) -> int:
        """Enrol or replace faces [N] with unit-length features [N, d], all or none; returns how many were new.

        `space`: what the features are of. A gallery may be dropped and made anew while they were being translated.

        Raises:
            UnknownGalleryError, GalleryLimitError, GalleryUnavailableError.
            GallerySpaceMismatchError: the gallery holds another space, or another dimension.
        """
        ...

    async def get(self, gallery: str, face_id: str) -> Face:
        """Read one face. Raises UnknownGalleryError, UnknownFaceError."""
        ...

    async def delete_face(self, gallery: str, face_id: str) -> None:
        """Delete one face. Raises UnknownGalleryError, UnknownFaceError."""
        ...

    async def delete_subject(self, gallery: str, subject: str) -> int:
        """Delete all faces of a subject; returns how many. Raises UnknownGalleryError, UnknownSubjectError."""
        ...

    async def search(self, gallery: str, features: Features, top_k: int, space: FeatureSpace | None = None) -> Matches:
        """For each unit-length probe [N, d] its top_k faces, most similar first; ties by face_id.

        `space`: what the probes are of, as for `upsert`.

        Raises:
            UnknownGalleryError, GalleryUnavailableError.
            GallerySpaceMismatchError: the gallery holds another space, or another dimension.
        """
        ...

    def faces(self, gallery: str) -> AsyncIterator[FaceBatch]:
        """Stream all faces in bounded batches, by face_id. Raises UnknownGalleryError."""
        ...

    async def ready(self) -> bool:
        """Whether a search would be accepted now."""
        ...

    async def close(self) -> None:
        """Flush and release. Idempotent."""
        ...
