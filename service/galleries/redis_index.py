"""The index of a copy: FLAT over FLOAT16, so that every face is looked at. It is made from the faces, and again."""

import asyncio
import logging
from collections.abc import Mapping

from service.galleries.redis_commands import CommandRefusedError, RedisCommands
from service.galleries.redis_records import TAG_SEPARATOR, GalleryRecord, HeldCopy, key_of

POLL_S = 0.02

logger = logging.getLogger(__name__)


def create_index_command(record: GalleryRecord, copy: HeldCopy) -> tuple[str | int, ...]:
    """The command that makes a copy's index, which holds exactly the faces that have a feature in it."""
    faces = ("ON", "HASH", "PREFIX", 1, record.face_key(""), "FILTER", "exists(@feature)")
    vector = ("VECTOR", "FLAT", 6, "TYPE", "FLOAT16", "DIM", copy.space.dim, "DISTANCE_METRIC", "IP")
    feature = (f"feature:{copy.space.id}", "AS", "feature", *vector)
    tags = ("tags", "TAG", "SEPARATOR", TAG_SEPARATOR, "CASESENSITIVE")
    return ("FT.CREATE", record.index(copy.number), *faces, "SCHEMA", *feature, *tags, "enrolled_at_ms", "NUMERIC")


async def complete_index(redis: RedisCommands, record: GalleryRecord, copy: HeldCopy) -> None:
    """Return when a copy's index holds all its faces, or the copy is gone. Within the bound of the operation.

    Redis reads the faces of a new index in the background, and so does a replica that has just taken over; a search
    meanwhile would miss people.
    """
    while (index := await _describe(redis, record, copy)) is None:
        if not await _make(redis, record, copy):
            return
    # Since counting, faces may have gone: then reading has ended all the same.
    while index and float(index[b"indexing"]) != 0 and int(index[b"num_docs"]) < copy.faces:
        await asyncio.sleep(POLL_S)
        index = await _describe(redis, record, copy)


async def drop_index(redis: RedisCommands, record: GalleryRecord, number: int) -> None:
    """Drop the index of a copy that is gone."""
    try:
        await redis.command("FT.DROPINDEX", record.index(number))
    except CommandRefusedError:
        logger.info("the index of what was dropped was gone already")


async def _describe(redis: RedisCommands, record: GalleryRecord, copy: HeldCopy) -> Mapping[bytes, bytes] | None:
    try:
        return as_mapping(await redis.command("FT.INFO", record.index(copy.number)))
    except CommandRefusedError:
        return None


async def _make(redis: RedisCommands, record: GalleryRecord, copy: HeldCopy) -> bool:
    """Make an index; False if the copy is gone."""
    refused = None
    try:
        await redis.command(*create_index_command(record, copy))
    except CommandRefusedError as error:
        refused = error
    made = refused is None or await _describe(redis, record, copy) is not None  # by somebody else meanwhile
    fields = await redis.command("HGETALL", key_of(record.name))
    if not fields or not record.shares_copy(GalleryRecord.read(record.name, fields), copy):
        await drop_index(redis, record, copy.number)
        return False
    if not made and refused is not None:
        raise refused
    return True


def as_mapping(reply: Mapping[bytes, bytes] | list[bytes]) -> Mapping[bytes, bytes]:
    """A reply of names and values."""
    return reply if isinstance(reply, Mapping) else dict(zip(reply[::2], reply[1::2], strict=True))
