"""The embedded gallery store: SQLite on disk keeps, numpy in memory searches. One process a directory."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.galleries.background import TIMEOUT_MS, wait_s_within
from service.galleries.builds import Builds
from service.galleries.embedded import approximations, copies, copy_records, enrolment, face_records, note_records
from service.galleries.embedded.claims import Clock
from service.galleries.embedded.directory import OpenDirectory, open_directory
from service.galleries.embedded.erasure import erase_copy, erase_gallery
from service.galleries.embedded.keeper import Keeper
from service.galleries.embedded.searching import search_in_steps
from service.galleries.embedded.sketching import sketch
from service.galleries.embedded.threads import Threads
from service.galleries.erasures import Erasures
from service.galleries.notes import notes_max
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


class LocalGalleries:
    """Search of galleries that fit in memory: 4 d bytes a face and copy and about 60 (see `GalleryStore`).

    A write is committed to disk, then shown to searches, then acknowledged. Whatever needs the disk runs one after the
    other in one thread, searches in two; what waits for a thread is bounded by the gateway's requests in flight.
    """

    name = "local"
    copy_overhead_bytes = 100  # its row, who made it, its confidence

    def __init__(
        self, directory: OpenDirectory, *, faces_max: int, galleries_max: int, clock: Clock, wait_s: float
    ) -> None:
        self._directory = directory
        self._faces_max = faces_max
        self._galleries_max = galleries_max
        self._notes_max = notes_max(galleries_max)
        self._clock = clock
        self._threads = Threads()
        self._keeper = Keeper(directory, self._threads)
        self._builds = Builds(wait_s)
        self._erasures = Erasures(wait_s)

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        faces_max: int,
        galleries_max: int,
        timeout_ms: int = TIMEOUT_MS,
        clock: Clock = time.monotonic,
    ) -> Self:
        """Load every gallery of a directory, made if missing. Blocks: for start-up.

        `faces_max` bounds one gallery; what takes longer than half of `timeout_ms` goes on behind its answer.

        Raises:
            GalleryUnavailableError: another process has the directory open, or it cannot be read.
        """
        opened, wait_s = open_directory(directory, clock), wait_s_within(timeout_ms)
        return cls(opened, faces_max=faces_max, galleries_max=galleries_max, clock=clock, wait_s=wait_s)

    async def create(self, gallery: str, space: FeatureSpace) -> bool:
        """Create a gallery with one copy; False if it exists and serves this space."""
        return await self._keeper.create(gallery, space, self._galleries_max, self._clock)

    async def info(self, gallery: str) -> GalleryInfo:
        """Describe a gallery."""
        return self._keeper.info(gallery)

    async def list(self) -> Listing:
        """All galleries, by name."""
        return Listing(sorted(self._keeper.infos.values(), key=lambda info: info.name))

    async def drop(self, gallery: str) -> None:
        """Delete a gallery with all faces and copies."""
        key = await self._keeper.drop(gallery)
        await self._erasures.join((key,), partial(self._keeper.erase, erase_gallery, key))

    async def upsert(
        self, gallery: str, faces: Sequence[Face], original: Rendition, translated: Sequence[Rendition] = ()
    ) -> Sequence[bool]:
        """Enrol or replace faces, all or none; returns which were new."""
        return await self._keeper.change(gallery, enrolment.upsert, faces, original, translated, self._faces_max)

    async def get(self, gallery: str, face_id: str) -> FaceRecord:
        """Read one face."""
        return await self._keeper.ask(gallery, face_records.read_face, face_id)

    async def subject(self, gallery: str, subject: str) -> SubjectRecord:
        """Read one subject."""
        return await self._keeper.ask(gallery, face_records.read_subject, subject)

    async def describe_subject(self, gallery: str, subject: str, metadata: str) -> None:
        """Keep JSON text with a subject."""
        await self._keeper.ask(gallery, face_records.describe_subject, subject, metadata)

    async def delete_face(self, gallery: str, face_id: str) -> None:
        """Delete one face from record and copies."""
        await self._keeper.change(gallery, enrolment.delete_face, face_id)

    async def delete_subject(self, gallery: str, subject: str) -> int:
        """Delete all faces of a subject; returns how many."""
        return await self._keeper.change(gallery, enrolment.delete_subject, subject)

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
        """The top_k of each probe [N, d] in the copy of their space."""
        found = self._keeper.find(gallery)
        return await search_in_steps(self._threads, found, space, probes, top_k, ranking, where, exact)

    async def approximate(self, gallery: str, space: FeatureSpace) -> Approximation:
        """Sketch a copy and measure what is found by it."""
        found = self._keeper.find(gallery)
        copy = found.searched(space)
        if copy.approximation is not None:
            return copy.approximation

        async def build() -> Approximation:
            measured = await sketch(self._threads, found, copy)
            return await self._keeper.change(gallery, approximations.keep, copy, measured)

        return await self._builds.join((gallery, space), build)

    async def exactly(self, gallery: str, space: FeatureSpace) -> None:
        """Forget a copy's sketch, or give up making it."""
        await self._builds.give_up((gallery, space))
        await self._keeper.change(gallery, approximations.forget, space)

    async def originals(self, gallery: str, after: str | None, limit: int) -> Sequence[Original]:
        """The next faces by face_id, at most `limit`."""
        return await self._keeper.ask(gallery, face_records.read_originals, after, limit)

    async def add_copy(self, gallery: str, space: FeatureSpace) -> None:
        """Begin a second copy, empty."""
        await self._keeper.change(gallery, copies.add, space, self._clock)

    async def drop_copy(self, gallery: str, space: FeatureSpace, *, key: str | None = None) -> None:
        """Drop a copy that does not serve; originals stay."""
        dropped = await self._keeper.change(gallery, copies.drop_copy, space, key)
        if dropped is not None:
            await self._erasures.join(dropped, partial(self._keeper.erase, erase_copy, *dropped))

    async def serve(self, gallery: str, space: FeatureSpace, *, key: str | None = None, complete: bool = True) -> None:
        """Let searches be served by the copy in `space`, in one step."""
        await self._keeper.change(gallery, copies.serve, space, key, complete)

    async def origins(self, gallery: str) -> dict[str, int]:
        """How many faces were enrolled in each space, by its id."""
        return await self._keeper.ask(gallery, copy_records.count_origins)

    async def claim(self, gallery: str, space: FeatureSpace, limit: int, lease_ms: int) -> Claim | None:
        """Lease faces that are missing in a copy and not leased; None when there is none now."""
        return await self._keeper.change(gallery, copies.claim, space, limit, lease_ms)

    async def fill(self, gallery: str, claim: Claim, renditions: Sequence[Rendition]) -> int:
        """Write a claim's translations into a copy and end its lease; returns how many faces were written."""
        return await self._keeper.change(gallery, copies.fill, claim, renditions)

    async def note(self, key: str, value: str | None, before: str | None) -> bool:
        """Keep text under a key, or forget it with its counts, if what is kept now is `before`."""
        return await self._keeper.keep(note_records.note, key, value, before, self._notes_max)

    async def noted(self, key: str) -> str | None:
        """The text under a key."""
        return await self._keeper.keep(note_records.noted, key)

    async def notes(self) -> Mapping[str, str]:
        """All keys with their texts."""
        return await self._keeper.keep(note_records.notes)

    async def tally(self, key: str, counts: Mapping[str, int]) -> None:
        """Add to named counts under a key."""
        await self._keeper.keep(note_records.tally, key, counts, self._notes_max)

    async def tallied(self, key: str) -> Mapping[str, int]:
        """The counts under a key."""
        return await self._keeper.keep(note_records.tallied, key)

    async def ready(self) -> bool:
        """True until closed: everything is in memory."""
        return not self._threads.closed

    async def close(self) -> None:
        """Finish what is under way and release the directory."""
        if not self._threads.closed:
            self._threads.closed = True
            await self._erasures.close()
            await self._builds.close()
            await asyncio.to_thread(self._shut_down)

    def _shut_down(self) -> None:
        self._threads.finish()
        self._directory.release.close()
