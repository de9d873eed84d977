"""The shared gallery store: Redis with its Query Engine, in half precision. Several gateways may use one Redis."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Self

from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.errors import GalleryUnavailableError
from service.galleries import (
    redis_approximation,
    redis_copies,
    redis_faces,
    redis_lifecycle,
    redis_notes,
    redis_scripts,
    redis_search,
)
from service.galleries.background import TIMEOUT_MS, WAIT_S, wait_s_within
from service.galleries.builds import Builds
from service.galleries.erasures import Erasures
from service.galleries.notes import notes_max
from service.galleries.redis_cluster_connection import connect
from service.galleries.redis_commands import RedisCommands
from service.galleries.redis_operation import bounded
from service.galleries.redis_records import key_of, read_originals
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

logger = logging.getLogger(__name__)


class RedisGalleries:
    """Galleries in Redis, as `GalleryStore` describes, within half precision: similarities hold to 1e-3.

    Redis scans all faces, or follows the graph of a copy's approximation. What it finds, and the next 16, is rescored
    in float64 from the stored feature, so that equal features tie; of more than 16 that tie for the last place, any is
    found. With `appendfsync always` a returned write survives kill -9 of Redis and of its machine.
    """

    name = "redis"
    copy_overhead_bytes = 512  # its fields, who made it, its confidence, its places in the indexes

    def __init__(self, redis: RedisCommands, *, faces_max: int, galleries_max: int, wait_s: float = WAIT_S) -> None:
        self._redis = redis
        self._faces_max = faces_max
        self._galleries_max = galleries_max
        self._notes_max = notes_max(galleries_max)
        self._examined = False
        self._builds = Builds(wait_s)
        self._erasures = Erasures(wait_s)

    @classmethod
    async def open(cls, url: str, *, faces_max: int, galleries_max: int, timeout_ms: int = TIMEOUT_MS) -> Self:
        """A store on the Redis at `url`, or the cluster; one that cannot be reached yet is simply not ready.

        `faces_max` bounds one gallery, `galleries_max` the store, `timeout_ms` each operation.
        """
        redis = connect(url, timeout_ms / 1000)
        store = cls(redis, faces_max=faces_max, galleries_max=galleries_max, wait_s=wait_s_within(timeout_ms))
        await store.ready()
        store._erasures.begin("what is left", store._erase_what_is_left)
        return store

    @bounded
    async def create(self, gallery: str, space: FeatureSpace) -> bool:
        """Create a gallery; False if it exists and serves this space."""
        return await redis_lifecycle.create(self._redis, gallery, space, self._galleries_max)

    @bounded
    async def info(self, gallery: str) -> GalleryInfo:
        """Describe a gallery."""
        return (await redis_lifecycle.find(self._redis, gallery)).info

    @bounded
    async def list(self) -> Listing:
        """All galleries, by name."""
        records, unreachable = await redis_lifecycle.find_all(self._redis)
        return Listing([record.info for record in records], unreachable)

    @bounded
    async def drop(self, gallery: str) -> None:
        """Delete a gallery with all faces and copies."""
        incarnation = await redis_lifecycle.drop(self._redis, gallery)
        erase = partial(redis_lifecycle.purge, self._redis, gallery)
        await self._erasures.join((gallery, incarnation), erase)

    @bounded
    async def upsert(
        self, gallery: str, faces: Sequence[Face], original: Rendition, translated: Sequence[Rendition] = ()
    ) -> Sequence[bool]:
        """Enrol or replace faces, all or none; returns which were new."""
        return await redis_faces.upsert(self._redis, gallery, faces, original, translated, self._faces_max)

    @bounded
    async def get(self, gallery: str, face_id: str) -> FaceRecord:
        """Read one face."""
        return await redis_faces.read_face(self._redis, gallery, face_id)

    @bounded
    async def subject(self, gallery: str, subject: str) -> SubjectRecord:
        """Read one subject."""
        return await redis_faces.read_subject(self._redis, gallery, subject)

    @bounded
    async def describe_subject(self, gallery: str, subject: str, metadata: str) -> None:
        """Keep JSON text with a subject."""
        await self._redis.change(redis_scripts.DESCRIBE_SUBJECT, key_of(gallery), subject, metadata)

    @bounded
    async def delete_face(self, gallery: str, face_id: str) -> None:
        """Delete one face."""
        await self._redis.change(redis_scripts.DELETE_FACE, key_of(gallery), face_id)

    @bounded
    async def delete_subject(self, gallery: str, subject: str) -> int:
        """Delete all faces of a subject; returns how many."""
        return int(await self._redis.change(redis_scripts.DELETE_SUBJECT, key_of(gallery), subject))

    @bounded
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
        return await redis_search.search(self._redis, gallery, space, probes, top_k, ranking, where, exact)

    @bounded
    async def approximate(self, gallery: str, space: FeatureSpace) -> Approximation:
        """Index a copy's neighbours beside its faces and measure what is found by them."""
        approximation = await redis_approximation.find_approximation(self._redis, gallery, space)
        if approximation is not None:
            return approximation
        build = partial(redis_approximation.build, self._redis, gallery, space)
        return await self._builds.join((gallery, space), build)

    @bounded
    async def exactly(self, gallery: str, space: FeatureSpace) -> None:
        """Drop the index of a copy's neighbours, or give up building it."""
        await self._builds.give_up((gallery, space))
        await redis_approximation.remove(self._redis, gallery, space)

    @bounded
    async def originals(self, gallery: str, after: str | None, limit: int) -> Sequence[Original]:
        """The next faces by face_id, at most `limit`."""
        rows = await self._redis.read(redis_scripts.ORIGINALS, key_of(gallery), after or "", limit)
        return read_originals(rows)

    @bounded
    async def add_copy(self, gallery: str, space: FeatureSpace) -> None:
        """Begin a second copy, empty."""
        await redis_copies.add_copy(self._redis, gallery, space)

    @bounded
    async def drop_copy(self, gallery: str, space: FeatureSpace, *, key: str | None = None) -> None:
        """Drop a copy that does not serve."""
        dropped = await redis_copies.drop_copy(self._redis, gallery, space, key)
        if dropped is not None:
            erase = partial(redis_copies.take_out, self._redis, gallery, space.id)
            await self._erasures.join((gallery, dropped), erase)

    @bounded
    async def serve(self, gallery: str, space: FeatureSpace, *, key: str | None = None, complete: bool = True) -> None:
        """Let searches be served by another copy."""
        await redis_copies.serve(self._redis, gallery, space, key, complete)

    @bounded
    async def origins(self, gallery: str) -> dict[str, int]:
        """How many faces were enrolled in each space."""
        return dict((await redis_lifecycle.find(self._redis, gallery)).origins)

    @bounded
    async def claim(self, gallery: str, space: FeatureSpace, limit: int, lease_ms: int) -> Claim | None:
        """Lease faces that are missing in a copy."""
        return await redis_copies.claim(self._redis, gallery, space, limit, lease_ms)

    @bounded
    async def fill(self, gallery: str, claim: Claim, renditions: Sequence[Rendition]) -> int:
        """Write a claim's translations into a copy; returns how many faces were written."""
        return await redis_copies.fill(self._redis, gallery, claim, renditions)

    @bounded
    async def note(self, key: str, value: str | None, before: str | None) -> bool:
        """Keep text under a key if what is kept now is `before`; None forgets it and its counts."""
        return await redis_notes.note(self._redis, key, value, before, self._notes_max)

    @bounded
    async def noted(self, key: str) -> str | None:
        """The text under a key."""
        return await redis_notes.noted(self._redis, key)

    @bounded
    async def notes(self) -> Mapping[str, str]:
        """All keys with their texts."""
        return await redis_notes.notes(self._redis)

    @bounded
    async def tally(self, key: str, counts: Mapping[str, int]) -> None:
        """Add to named counts under a key."""
        await redis_notes.tally(self._redis, key, counts, self._notes_max)

    @bounded
    async def tallied(self, key: str) -> Mapping[str, int]:
        """The counts under a key."""
        return await redis_notes.tallied(self._redis, key)

    async def ready(self) -> bool:
        """Whether Redis answers, has its data loaded and its Query Engine in."""
        try:
            await self._redis.everywhere("FT._LIST")
            if not self._examined:
                servers = await self._redis.everywhere("INFO", "persistence")
                if not all(persistence["aof_enabled"] for persistence in servers):
                    logger.warning("Redis runs without an append-only file: enrolled faces are lost when it stops")
                self._examined = True
        except GalleryUnavailableError:
            return False
        return True

    async def _erase_what_is_left(self) -> None:
        """Complete the drops of gateways that have ended since."""
        is_purged = await redis_lifecycle.purge_what_is_left(self._redis)
        is_taken_out = await redis_copies.take_out_what_is_left(self._redis)
        if not (is_purged and is_taken_out):
            raise GalleryUnavailableError("some galleries cannot be reached")

    async def close(self) -> None:
        """Close every connection. Writes need no flush."""
        await self._erasures.close()
        await self._builds.close()
        await self._redis.close()
