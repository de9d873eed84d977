"""What is said of galleries: faces, their features in each feature space, matches, and the store that keeps them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contract.spaces import FeatureSpace
from contract.vectors import Features

Confidence = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Face:
    """One enrolled face of a subject, without its features.

    `tags` are sorted and each stands once; `enrolled_at_ms` counts from 1970 in UTC; `metadata` is what the caller
    keeps with the face, as JSON text.
    """

    face_id: str
    subject: str
    tags: tuple[str, ...] = ()
    enrolled_at_ms: int = 0
    metadata: str = "{}"


@dataclass(frozen=True, slots=True)
class Rendition:
    """Unit-length features [N, d] of N faces in one space; of translated ones what made them and how far to trust each.

    `translator` is its id@version, None for native features; `confidence` [N] in (0, 1], None where it is not modelled.
    """

    space: FeatureSpace
    features: Features
    translator: str | None = None
    confidence: Confidence | None = None


@dataclass(frozen=True, slots=True)
class Original:
    """A face as it was enrolled: its one native feature [d], from which alone it is ever translated.

    `revision` is new with every enrolment of the face.
    """

    face: Face
    space: FeatureSpace
    feature: Features
    revision: int


@dataclass(frozen=True, slots=True)
class HeldRendition:
    """That a face has a feature in a space, and where it came from, without the feature."""

    space: str
    translator: str | None
    confidence: float | None


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """All a store tells of one face. `origin`: the space of its native feature."""

    face: Face
    origin: str
    held: tuple[HeldRendition, ...]  # one for each copy the face is in, by space


@dataclass(frozen=True, slots=True)
class SubjectRecord:
    """A subject, the ids of its faces in order, and what the caller keeps with it, as JSON text."""

    subject: str
    face_ids: tuple[str, ...]
    metadata: str


@dataclass(frozen=True, slots=True)
class Approximation:
    """How much an approximate search of a copy finds, measured against the exact one when it was built.

    `recall_at_k`: of the k faces most similar to each of `probes` faces of the copy's own, itself left out, the share
    that was found. `built_at_ms` counts from 1970 in UTC; `faces` are those the copy held then.
    """

    built_at_ms: int
    faces: int
    probes: int
    recall_at_1: float
    recall_at_10: float


@dataclass(frozen=True, slots=True)
class Copy:
    """A gallery's faces in one feature space, and how many of them it holds; its approximate search, if it has one."""

    space: FeatureSpace
    faces: int
    approximation: Approximation | None = None


@dataclass(frozen=True, slots=True)
class GalleryInfo:
    """A gallery: how much it holds, and its one or two copies; `space` is the one that serves searches."""

    name: str
    space: FeatureSpace
    faces: int
    subjects: int
    copies: tuple[Copy, ...]  # the serving one first


class Ranking(StrEnum):
    """What is ranked: faces, or subjects by the similarity of their best face or the mean over their faces."""

    FACES = "faces"
    SUBJECTS_BY_BEST = "subjects-by-best"
    SUBJECTS_BY_MEAN = "subjects-by-mean"


@dataclass(frozen=True, slots=True)
class Where:
    """Which faces are searched: those with all of `tags`, enrolled in [from_ms, until_ms)."""

    tags: tuple[str, ...] = ()
    from_ms: int | None = None
    until_ms: int | None = None


EVERYWHERE = Where()


@dataclass(frozen=True, slots=True)
class Match:
    """A gallery face found for a probe, with its cosine similarity in [-1, 1].

    Where subjects are ranked, `face_id` is the subject's most similar face and `similarity` the subject's.
    """

    face_id: str
    subject: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Found:
    """The matches of each probe among `searched` faces; `exact` if it was compared with every one of them."""

    matches: list[list[Match]]
    searched: int
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """Faces that one worker translates into a copy until its lease ends; then another may."""

    token: str
    originals: tuple[Original, ...]


class GalleryStore(Protocol):
    """Named galleries. Search is exact unless a copy has an approximation and the caller allows for it.

    A returned write survives kill -9. Every method: GalleryUnavailableError.

    A face is one record with its original; it has a feature in each copy, native or translated. Whatever changes a face
    changes record and all copies at once, so a deleted face comes back in none of them.
    """

    @property
    def name(self) -> str:
        """`local` or `redis`; the metric label."""
        ...

    async def create(self, gallery: str, space: FeatureSpace) -> bool:
        """Create a gallery with one copy; True if it is new, False if it exists and serves this space.

        Raises:
            GallerySpaceMismatchError: it exists and serves another space.
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
        """Delete a gallery with all faces and copies. Raises UnknownGalleryError."""
        ...

    async def upsert(
        self, gallery: str, faces: Sequence[Face], original: Rendition, translated: Sequence[Rendition] = ()
    ) -> int:
        """Enrol or replace faces [N], all or none, in the serving copy and every other; returns how many were new.

        `original` is kept whether or not a copy is in its space. In a copy for which nothing is given, a replaced
        face keeps its feature if its subject stays the same, and is otherwise taken out.

        Raises:
            UnknownGalleryError, GalleryLimitError.
            CopiesChangedError: nothing is given for the serving copy, or something for a copy that is not there.
        """
        ...

    async def get(self, gallery: str, face_id: str) -> FaceRecord:
        """Read one face. Raises UnknownGalleryError, UnknownFaceError."""
        ...

    async def subject(self, gallery: str, subject: str) -> SubjectRecord:
        """Read one subject. Raises UnknownGalleryError, UnknownSubjectError."""
        ...

    async def describe_subject(self, gallery: str, subject: str, metadata: str) -> None:
        """Keep JSON text with a subject until its last face goes. Raises UnknownGalleryError, UnknownSubjectError."""
        ...

    async def delete_face(self, gallery: str, face_id: str) -> None:
        """Delete one face from record and copies. Raises UnknownGalleryError, UnknownFaceError."""
        ...

    async def delete_subject(self, gallery: str, subject: str) -> int:
        """Delete all faces of a subject; returns how many. Raises UnknownGalleryError, UnknownSubjectError."""
        ...

    async def search(
        self,
        gallery: str,
        space: FeatureSpace,
        probes: Features,
        top_k: int,
        *,
        ranking: Ranking = Ranking.FACES,
        where: Where = EVERYWHERE,
        exact: bool = True,
    ) -> Found:
        """For each unit-length probe [N, d] of `space` the top_k of that copy, most similar first; ties by face_id.

        `exact` False allows for the copy's approximation, if it has one. A filter, and subjects by their mean, are
        exact all the same.

        Raises:
            UnknownGalleryError.
            GallerySpaceMismatchError: no copy is in this space.
        """
        ...

    async def approximate(self, gallery: str, space: FeatureSpace) -> Approximation:
        """Build and measure an approximate search of a copy, which lasts as long as the copy. Idempotent.

        Raises:
            UnknownGalleryError.
            GallerySpaceMismatchError: no copy is in this space.
            GalleryTooSmallError: it holds too few faces.
            StillBuildingError: it takes longer than a caller waits. It goes on, and the next call joins it.
        """
        ...

    async def exactly(self, gallery: str, space: FeatureSpace) -> None:
        """Remove a copy's approximate search, or give up building it. Idempotent.

        Raises:
            UnknownGalleryError.
            GallerySpaceMismatchError: no copy is in this space.
        """
        ...

    async def originals(self, gallery: str, after: str | None, limit: int) -> Sequence[Original]:
        """The next faces by face_id, at most `limit`; empty at the end. Raises UnknownGalleryError."""
        ...

    async def add_copy(self, gallery: str, space: FeatureSpace) -> None:
        """Begin a second copy, empty. Raises UnknownGalleryError, CopyExistsError: there are two, or one in `space`."""
        ...

    async def drop_copy(self, gallery: str, space: FeatureSpace) -> None:
        """Drop a copy that does not serve; originals stay. Idempotent. Raises UnknownGalleryError, CopyServesError."""
        ...

    async def serve(self, gallery: str, space: FeatureSpace) -> None:
        """Let searches be served by the copy in `space`, in one step. Idempotent.

        Raises:
            UnknownGalleryError.
            CopyIncompleteError: there is no such copy, or a face is missing in it.
        """
        ...

    async def origins(self, gallery: str) -> dict[str, int]:
        """How many faces were enrolled in each space, by its id. Raises UnknownGalleryError."""
        ...

    async def claim(self, gallery: str, space: FeatureSpace, limit: int, lease_ms: int) -> Claim | None:
        """Lease faces that are missing in a copy and not leased; None when there is none now.

        Claims are in order of face_id; those whose lease ended come again.

        Raises:
            UnknownGalleryError.
            CopiesChangedError: there is no such copy.
        """
        ...

    async def fill(self, gallery: str, claim: Claim, renditions: Sequence[Rendition]) -> int:
        """Write a claim's translations into a copy and end its lease; returns how many faces were written.

        `renditions` are one or more, all of the copy's space; their rows together are the claim's faces in order. A
        face that was deleted, enrolled anew or written by another worker meanwhile is left as it is.

        Raises:
            UnknownGalleryError.
            CopiesChangedError: there is no such copy.
        """
        ...

    async def note(self, key: str, value: str | None, before: str | None) -> bool:
        """Keep text under a key if what is kept now is `before` (None: nothing); False if it is not.

        `value` None forgets the text and whatever was counted under the key.

        Raises:
            GalleryLimitError: the bound on notes is reached.
        """
        ...

    async def noted(self, key: str) -> str | None:
        """The text under a key."""
        ...

    async def notes(self) -> Mapping[str, str]:
        """All keys with their texts."""
        ...

    async def tally(self, key: str, counts: Mapping[str, int]) -> None:
        """Add to named counts under a key."""
        ...

    async def tallied(self, key: str) -> Mapping[str, int]:
        """The counts under a key, noted or not; what was never counted is not among them."""
        ...

    async def ready(self) -> bool:
        """Whether a search would be accepted now."""
        ...

    async def close(self) -> None:
        """Flush and release. Idempotent."""
        ...
