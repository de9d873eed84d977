"""A gallery comes and goes: its name, its record, its index, and the purge of what it held."""

import secrets

from contract.spaces import FeatureSpace
from service.errors import UnknownGalleryError
from service.galleries import redis_gallery_scripts as scripts
from service.galleries.redis_commands import RedisCommands
from service.galleries.redis_index import complete_index, drop_index
from service.galleries.redis_records import FIRST_COPY, GALLERIES_KEY, GalleryRecord, HeldCopy, dropped_key_of, key_of
from service.galleries.refusals import NO_GALLERY, no_copy, serves_another, too_many_galleries

PURGE_FACES = 500


async def find(redis: RedisCommands, gallery: str) -> GalleryRecord:
    """The record of a gallery. Raises UnknownGalleryError."""
    fields = await redis.command("HGETALL", key_of(gallery))
    if not fields:
        raise UnknownGalleryError(NO_GALLERY)
    return GalleryRecord.read(gallery, fields)


async def find_copy(redis: RedisCommands, gallery: str, space: FeatureSpace) -> tuple[GalleryRecord, HeldCopy]:
    """The record of a gallery and its copy in a space. Raises UnknownGalleryError, GallerySpaceMismatchError."""
    record = await find(redis, gallery)
    copy = record.copy_in(space)
    if copy is None:
        raise no_copy(space)
    return record, copy


async def find_all(redis: RedisCommands) -> tuple[list[GalleryRecord], list[str]]:
    """All galleries, by name, and the names of those that cannot be reached.

    A name without a gallery is about to come or has just gone.
    """
    names = sorted(name.decode() for name in await redis.command("HKEYS", GALLERIES_KEY))
    found = dict(zip(names, await redis.reachable([("HGETALL", key_of(name)) for name in names]), strict=True))
    records = [GalleryRecord.read(name, fields) for name, fields in found.items() if fields]
    return records, [name for name, fields in found.items() if fields is None]


async def create(redis: RedisCommands, gallery: str, space: FeatureSpace, galleries_max: int) -> bool:
    """Create a gallery; False if it exists and serves this space."""
    record, new = await _create_or_find(redis, gallery, space, galleries_max)
    serving = record.copies[0]
    if serving.space != space:
        raise serves_another(serving.space)
    for copy in record.copies:
        await complete_index(redis, record, copy)
    return new


async def drop(redis: RedisCommands, gallery: str) -> str:
    """Let a gallery be gone; returns the incarnation that `purge` is to erase, also if it was dropped before."""
    incarnation = await redis.change(scripts.DROP, key_of(gallery))
    if incarnation is None:
        raise UnknownGalleryError(NO_GALLERY)
    return str(incarnation.decode())


async def purge(redis: RedisCommands, gallery: str) -> bool:
    """Erase what was dropped of this name, in bounded steps; False if there is nothing. Several may do so at once."""
    fields = await redis.command("HGETALL", dropped_key_of(gallery))
    if not fields:
        return False
    record = GalleryRecord.read(gallery, fields)
    for number in (*(copy.number for copy in record.copies), *record.dropped.values()):
        await drop_index(redis, record, number)
    # Each step deletes some and none is added: the record that admits faces is gone.
    while await redis.change(scripts.PURGE, key_of(gallery), record.incarnation, PURGE_FACES) == 1:
        pass
    await redis.change(scripts.GIVE_NAME_BACK, GALLERIES_KEY, gallery, record.incarnation)
    await redis.change(scripts.FORGET, key_of(gallery), record.incarnation)
    return True


async def purge_what_is_left(redis: RedisCommands) -> bool:
    """Erase galleries that were dropped by who has ended since; False if some cannot be reached."""
    names = [name.decode() for name in await redis.command("HKEYS", GALLERIES_KEY)]
    dropped = await redis.reachable([("EXISTS", dropped_key_of(name)) for name in names])
    for name in (name for name, is_dropped in zip(names, dropped, strict=True) if is_dropped):
        await purge(redis, name)
    return None not in dropped


async def _create_or_find(
    redis: RedisCommands, gallery: str, space: FeatureSpace, galleries_max: int
) -> tuple[GalleryRecord, bool]:
    created = 0
    while not (fields := await redis.command("HGETALL", key_of(gallery))):  # within the bound of the operation
        await purge(redis, gallery)
        incarnation = await _take_name(redis, gallery, galleries_max)
        first = f"{FIRST_COPY} {space.dim} {space.id}"
        created = await redis.change(scripts.CREATE, key_of(gallery), incarnation, first)
    record = GalleryRecord.read(gallery, fields)
    await redis.change(scripts.KEEP_NAME, GALLERIES_KEY, gallery, record.incarnation)
    return record, bool(created)


async def _take_name(redis: RedisCommands, gallery: str, galleries_max: int) -> str:
    arguments = (scripts.TAKE_NAME, GALLERIES_KEY, gallery, secrets.token_hex(4), galleries_max)
    taken = await redis.change(*arguments)
    if taken is None:
        await _give_idle_names_back(redis)
        taken = await redis.change(*arguments)
    if taken is None:
        raise too_many_galleries(galleries_max)
    return str(taken.decode())


async def _give_idle_names_back(redis: RedisCommands) -> None:
    """Free places of creations and drops that were interrupted; a creation under way takes its name again."""
    names = [(name.decode(), value) for name, value in (await redis.command("HGETALL", GALLERIES_KEY)).items()]
    held = await redis.commands([("EXISTS", key_of(name)) for name, _ in names])
    for (name, incarnation), exists in zip(names, held, strict=True):
        if not exists and not await purge(redis, name):
            await redis.change(scripts.GIVE_NAME_BACK, GALLERIES_KEY, name, incarnation)
