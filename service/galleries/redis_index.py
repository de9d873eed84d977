"""The indexes of a copy: FLAT over FLOAT16, so that every face is looked at, and a graph where one is asked for.

They are made from the faces, and again.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress

from service.galleries.redis_commands import CommandRefusedError, RedisCommands
from service.galleries.redis_records import TAG_SEPARATOR, GalleryRecord, HeldCopy, key_of

POLL_S = 0.02
NEIGHBOURS = ("M", 32, "EF_CONSTRUCTION", 200, "EF_RUNTIME", 512)  # of the graph: HNSW

logger = logging.getLogger(__name__)


def attribute_of(copy: HeldCopy) -> str:
    """What a copy's features are called in its indexes.

    No two copies share a name: Redis looks up what a filter names once for all indexes over a key, so that a face that
    is in one copy alone would be left out of its index for want of the other's feature.
    """
    return f"feature{copy.number}"


def create_index_command(record: GalleryRecord, copy: HeldCopy, *, approximate: bool) -> tuple[str | int, ...]:
    """The command that makes a copy's index, which holds exactly the faces that have a feature in it."""
    faces = ("ON", "HASH", "PREFIX", 1, record.face_key(""), "FILTER", f"exists(@{attribute_of(copy)})")
    vector = ("TYPE", "FLOAT16", "DIM", copy.space.dim, "DISTANCE_METRIC", "IP")
    feature = (f"feature:{copy.space.id}", "AS", attribute_of(copy), "VECTOR")
    name = record.index(copy.number, approximate=approximate)
    if approximate:
        return ("FT.CREATE", name, *faces, "SCHEMA", *feature, "HNSW", 6 + len(NEIGHBOURS), *vector, *NEIGHBOURS)
    tags = ("tags", "TAG", "SEPARATOR", TAG_SEPARATOR, "CASESENSITIVE")
    return ("FT.CREATE", name, *faces, "SCHEMA", *feature, "FLAT", 6, *vector, *tags, "enrolled_at_ms", "NUMERIC")


async def complete_index(
    redis: RedisCommands, record: GalleryRecord, copy: HeldCopy, *, approximate: bool = False
) -> None:
    """Return when an index holds all faces of its copy, or the copy is gone. Within the bound of the operation.

    Redis reads the faces of a new index in the background, and so does a replica that has just taken over; a search
    meanwhile would miss people.
    """
    name = record.index(copy.number, approximate=approximate)
    while (index := await _describe(redis, name)) is None:
        if not await _make(redis, record, copy, approximate=approximate):
            return
    while index and not _is_read(index):
        await asyncio.sleep(POLL_S)
        index = await _describe(redis, name)


async def has_approximate_index(redis: RedisCommands, record: GalleryRecord, copy: HeldCopy) -> bool:
    """Whether a copy's approximate index is there and holds all its faces."""
    index = await _describe(redis, record.index(copy.number, approximate=True))
    return index is not None and _is_read(index)


async def drop_index(redis: RedisCommands, record: GalleryRecord, number: int) -> None:
    """Drop the indexes of a copy that is gone."""
    await drop_approximate_index(redis, record, number)
    try:
        await redis.command("FT.DROPINDEX", record.index(number))
    except CommandRefusedError:
        logger.info("the index of what was dropped was gone already")


async def drop_approximate_index(redis: RedisCommands, record: GalleryRecord, number: int) -> None:
    """Drop the approximate index of a copy, if it has one."""
    with suppress(CommandRefusedError):
        await redis.command("FT.DROPINDEX", record.index(number, approximate=True))


async def _describe(redis: RedisCommands, index: str) -> Mapping[bytes, bytes] | None:
    try:
        return as_mapping(await redis.command("FT.INFO", index))
    except CommandRefusedError:
        return None


def _is_read(index: Mapping[bytes, bytes]) -> bool:
    # Not by its number of faces: those enrolled meanwhile are read at once and would hide that earlier ones are not.
    return float(index[b"indexing"]) == 0


async def _make(redis: RedisCommands, record: GalleryRecord, copy: HeldCopy, *, approximate: bool) -> bool:
    """Make an index; False if the copy is gone."""
    refused = None
    try:
        await redis.command(*create_index_command(record, copy, approximate=approximate))
    except CommandRefusedError as error:
        refused = error
    # Somebody else may have made it meanwhile.
    made = refused is None or await _describe(redis, record.index(copy.number, approximate=approximate)) is not None
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
