"""The shared gallery store: Redis with its Query Engine, FLAT FLOAT16, exact. Several gateways may use one Redis."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.errors import (
    GalleryLimitError,
    GallerySpaceMismatchError,
    GalleryUnavailableError,
    UnknownFaceError,
    UnknownGalleryError,
    UnknownSubjectError,
)
from service.galleries import redis_scripts as scripts
from service.galleries.base import Face, FaceBatch, GalleryInfo, Matches, check_space
from service.galleries.redis_connection import CommandRefusedError, RedisConnection
from service.galleries.redis_records import (
    FACE_FIELDS,
    GALLERIES_KEY,
    GalleryRecord,
    face_arguments,
    half_precision,
    read_faces,
    read_matches,
)

TIMEOUT_MS = 10_000
STREAM_FACES = 1000
PURGE_FACES = 500
INDEXING_POLL_S = 0.02
SPARE_CANDIDATES = 16  # beyond top_k: half precision may rank near-equals otherwise than their rescored similarity

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
Operation = Callable[Concatenate["RedisGalleries", P], Coroutine[Any, Any, R]]


def _bounded(operation: Operation[P, R]) -> Operation[P, R]:
    """Bound all steps of an operation together: many, each just in time, would outlast any deadline."""

    @wraps(operation)
    async def bounded(self: "RedisGalleries", /, *args: P.args, **kwargs: P.kwargs) -> R:
        async with self._redis.operation():
            return await operation(self, *args, **kwargs)

    return bounded


class RedisGalleries:
    """Galleries in Redis, as `GalleryStore` describes, within half precision: similarities hold to 1e-3.

    Redis scans all faces; what it finds, and the next 16, is rescored in float64 from the stored feature, so that equal
    features tie. With an append-only file a returned write survives kill -9 of Redis (of the machine: appendfsync
    always).
    """

    name = "redis"

    def __init__(self, redis: RedisConnection, *, faces_max: int, galleries_max: int) -> None:
        self._redis = redis
        self._faces_max = faces_max
        self._galleries_max = galleries_max
        self._examined = False

    @classmethod
    async def open(cls, url: str, *, faces_max: int, galleries_max: int, timeout_ms: int = TIMEOUT_MS) -> Self:
        """A store on the Redis at `url`; one that cannot be reached yet is simply not ready.

        `faces_max` bounds one gallery, `galleries_max` the store, `timeout_ms` each operation; of `faces` each step.
        """
        store = cls(RedisConnection.open(url, timeout_ms / 1000), faces_max=faces_max, galleries_max=galleries_max)
        await store.ready()
        return store

    @_bounded
    async def create(self, gallery: str, space: FeatureSpace) -> bool:
        """Create a gallery; False if it exists in the same space."""
        await self._purge(gallery)
        fresh = GalleryRecord.fresh(gallery, space)
        keys = [fresh.key, GALLERIES_KEY]
        index = fresh.create_index_command()
        answer = await self._redis.script(scripts.CREATE, keys, fresh.value, gallery, self._galleries_max, *index)
        if answer == scripts.FULL:
            raise GalleryLimitError(f"at most {self._galleries_max} galleries can be held")
        record = GalleryRecord.read(gallery, answer)
        if record.space != space:
            raise GallerySpaceMismatchError(f"the gallery holds the feature space {record.space.id}")
        if record != fresh:
            await self._heal_index(record)
        return record == fresh

    @_bounded
    async def info(self, gallery: str) -> GalleryInfo:
        """Describe a gallery."""
        record = await self._find(gallery)
        faces, subjects = await self._redis.commands([("ZCARD", record.faces_key), ("GET", record.subjects_key)])
        return GalleryInfo(record.name, record.space, faces, int(subjects or 0))

    @_bounded
    async def list(self) -> list[GalleryInfo]:
        """All galleries, by name."""
        names = sorted(name.decode() for name in await self._redis.command("SMEMBERS", GALLERIES_KEY))
        values = await self._redis.commands([("GET", GalleryRecord.key_of(name)) for name in names])
        records = [GalleryRecord.read(name, value) for name, value in zip(names, values, strict=True) if value]
        faces = await self._redis.commands([("ZCARD", record.faces_key) for record in records])
        subjects = await self._redis.commands([("GET", record.subjects_key) for record in records])
        return [
            GalleryInfo(record.name, record.space, count, int(subject_count or 0))
            for record, count, subject_count in zip(records, faces, subjects, strict=True)
        ]

    @_bounded
    async def drop(self, gallery: str) -> None:
        """Delete a gallery with all faces. What is left undone the next `drop`, with success, or `create` completes."""
        keys = [GalleryRecord.key_of(gallery), GALLERIES_KEY, GalleryRecord.dropped_key_of(gallery)]
        dropped = await self._redis.script(scripts.DROP, keys, gallery)
        purged = await self._purge(gallery)
        if not dropped and not purged:
            raise UnknownGalleryError("no such gallery")

    @_bounded
    async def upsert(
        self, gallery: str, faces: Sequence[Face], features: Features, space: FeatureSpace | None = None
    ) -> int:
        """Enrol or replace faces, all or none; returns how many were new."""
        record = await self._find(gallery)
        check_space(record.space, features, space)
        return await self._change(scripts.UPSERT, record, self._faces_max, *face_arguments(faces, features))

    @_bounded
    async def get(self, gallery: str, face_id: str) -> Face:
        """Read one face."""
        record = await self._find(gallery)
        fields = await self._redis.command("HMGET", record.face_key(face_id), *FACE_FIELDS)
        found, _ = read_faces([face_id], [fields], record.space.dim)
        if not found:
            raise UnknownFaceError("no such face in the gallery")
        return found[0]

    @_bounded
    async def delete_face(self, gallery: str, face_id: str) -> None:
        """Delete one face."""
        if not await self._change(scripts.DELETE_FACE, await self._find(gallery), face_id):
            raise UnknownFaceError("no such face in the gallery")

    @_bounded
    async def delete_subject(self, gallery: str, subject: str) -> int:
        """Delete all faces of a subject; returns how many."""
        deleted = await self._change(scripts.DELETE_SUBJECT, await self._find(gallery), subject)
        if not deleted:
            raise UnknownSubjectError("no such subject in the gallery")
        return deleted

    @_bounded
    async def search(self, gallery: str, features: Features, top_k: int, space: FeatureSpace | None = None) -> Matches:
        """The top_k faces of each probe [N, d]; of more than 16 that tie for the last place, any."""
        record = await self._find(gallery)
        check_space(record.space, features, space)
        searches = [record.search_command(probe, top_k + SPARE_CANDIDATES) for probe in half_precision(features)]
        try:
            replies = await self._redis.commands(searches)
        except CommandRefusedError:
            if await self._find(gallery) != record:  # made anew meanwhile; dropped, _find says so
                raise UnknownGalleryError("no such gallery") from None
            raise
        return [read_matches(record, reply, probe)[:top_k] for reply, probe in zip(replies, features, strict=True)]

    async def faces(self, gallery: str) -> AsyncIterator[FaceBatch]:
        """All faces by face_id, 1,000 at a time; a face deleted meanwhile is left out."""
        record = await self._find(gallery)
        after = "-"
        while page := await self._redis.command(
            "ZRANGE", record.faces_key, after, "+", "BYLEX", "LIMIT", 0, STREAM_FACES
        ):
            face_ids = [face_id.decode() for face_id in page]
            rows = await self._redis.commands([("HMGET", record.face_key(i), *FACE_FIELDS) for i in face_ids])
            batch = read_faces(face_ids, rows, record.space.dim)
            if batch[0]:
                yield batch
            after = f"({face_ids[-1]}"
        if await self._find(gallery) != record:
            raise UnknownGalleryError("no such gallery")  # dropped meanwhile: what was streamed is not all of it

    async def ready(self) -> bool:
        """Whether Redis answers, has its data loaded and its Query Engine in."""
        try:
            await self._redis.command("FT._LIST")
            if not self._examined:
                persistence = await self._redis.command("INFO", "persistence")
                if not persistence["aof_enabled"]:
                    logger.warning("Redis runs without an append-only file: enrolled faces are lost when it stops")
                self._examined = True
        except GalleryUnavailableError:
            return False
        return True

    async def close(self) -> None:
        """Close every connection. Writes need no flush."""
        await self._redis.close()

    async def _find(self, gallery: str) -> GalleryRecord:
        value = await self._redis.command("GET", GalleryRecord.key_of(gallery))
        if value is None:
            raise UnknownGalleryError("no such gallery")
        return GalleryRecord.read(gallery, value)

    async def _heal_index(self, record: GalleryRecord) -> None:
        keys, index = [record.key, record.faces_key], record.create_index_command()
        # Within the bound of the operation.
        while await self._redis.script(scripts.HEAL_INDEX, keys, record.value, record.index, *index):  # noqa: ASYNC110 - Redis tells nobody when it is done
            await asyncio.sleep(INDEXING_POLL_S)

    async def _drop_index(self, record: GalleryRecord) -> None:
        try:
            await self._redis.command("FT.DROPINDEX", record.index)
        except CommandRefusedError:
            logger.info("the index of a dropped gallery was gone already")

    async def _change(self, script: str, record: GalleryRecord, *arguments: str | int | bytes) -> int:
        keys = [record.key, record.faces_key, record.subjects_key]
        prefixes = (record.face_key(""), record.subject_key(""))
        answer = int(await self._redis.script(script, keys, record.value, *prefixes, *arguments))
        if answer == scripts.GONE:
            raise UnknownGalleryError("no such gallery")
        if answer == scripts.FULL:
            raise GalleryLimitError(f"a gallery holds at most {self._faces_max} faces")
        return answer

    async def _purge(self, gallery: str) -> bool:
        dropped_key = GalleryRecord.dropped_key_of(gallery)
        values = await self._redis.command("SMEMBERS", dropped_key)
        for value in values:
            record = GalleryRecord.read(gallery, value)
            await self._drop_index(record)
            keys = [record.faces_key, record.subjects_key]
            prefixes = (record.face_key(""), record.subject_key(""))
            while await self._redis.script(scripts.PURGE, keys, *prefixes, PURGE_FACES):
                pass  # each step deletes some, none is added: the record that admits faces is gone
            await self._redis.command("SREM", dropped_key, value)
        return bool(values)
