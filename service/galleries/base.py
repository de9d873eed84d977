"""The store of galleries: what it promises, whichever it is."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.galleries.values import (
    EVERYWHERE,
    Approximation,
    Claim,
    Face,
    FaceRecord,
    Found,
    GalleryInfo,
    Listing,
    Original,
    Ranking,
    Rendition,
    SubjectRecord,
    Where,
)


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

    @property
    def copy_overhead_bytes(self) -> int:
        """What is kept of a face in a copy besides its feature, in bytes."""
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

    async def list(self) -> Listing:
        """All galleries, by name: those that cannot be reached now do not hide the others."""
        ...

    async def drop(self, gallery: str) -> None:
        """Delete a gallery with all faces and copies. Raises UnknownGalleryError.

        It is gone in one step, and erased then: behind the answer where that takes long, and after a crash when the
        store is opened again. So is a copy.
        """
        ...

    async def upsert(
        self, gallery: str, faces: Sequence[Face], original: Rendition, translated: Sequence[Rendition] = ()
    ) -> Sequence[bool]:
        """Enrol or replace faces [N], all or none, in the serving copy and every other; returns which [N] were new.

        Of a face that is given twice the last row holds, and the first is the new one if it was not there before. What
        is kept with a subject goes if it has no face after the last row.
        `original` is kept whether or not a copy is in its space. A replaced face is taken out of every
        copy for which nothing is given: what lies there was made of a photo that is no longer enrolled.

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
            RankingLimitError: to rank subjects takes more faces than the store looks at for one probe.
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

    async def drop_copy(self, gallery: str, space: FeatureSpace, *, key: str | None = None) -> None:
        """Drop a copy that does not serve, with a key only the copy that has it; originals stay. Idempotent.

        Raises:
            UnknownGalleryError, CopyServesError.
        """
        ...

    async def serve(self, gallery: str, space: FeatureSpace, *, key: str | None = None, complete: bool = True) -> None:
        """Let searches be served by the copy in `space`, with a key only by the one that has it. One step; idempotent.

        Raises:
            UnknownGalleryError.
            CopyIncompleteError: there is no such copy, or it has to be `complete` and a face is missing in it, be it
                the one that serves already. Without, searches miss that face until it is claimed and filled, or this
                copy serves no more.
        """
        ...

    async def origins(self, gallery: str) -> dict[str, int]:
        """How many faces were enrolled in each space, by its id. Raises UnknownGalleryError."""
        ...

    async def claim(self, gallery: str, space: FeatureSpace, limit: int, lease_ms: int) -> Claim | None:
        """Lease faces that are missing in a copy and not leased for it; None when there is none now.

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
            GalleryLimitError: the text is longer than `notes.NOTE_BYTES_MAX`, or the bound on notes is reached.
        """
        ...

    async def noted(self, key: str) -> str | None:
        """The text under a key."""
        ...

    async def notes(self) -> Mapping[str, str]:
        """All keys with their texts."""
        ...

    async def tally(self, key: str, counts: Mapping[str, int]) -> None:
        """Add to named counts under a key. Raises GalleryLimitError: the bound on keys that have counts is reached."""
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
