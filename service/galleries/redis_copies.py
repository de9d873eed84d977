"""A gallery's copies: begun, filled face by face by any number of workers, served, dropped."""

from collections.abc import Sequence
from contextlib import suppress

from contract.spaces import FeatureSpace
from service.errors import UnknownGalleryError
from service.galleries import redis_copy_scripts as scripts
from service.galleries.redis_commands import RedisCommands, refusals_in_our_words
from service.galleries.redis_index import complete_index, drop_index
from service.galleries.redis_lifecycle import find, find_all
from service.galleries.redis_records import fill_arguments, key_of, read_originals
from service.galleries.refusals import one_space
from service.galleries.values import Claim, Rendition

STEP_FACES = 1000  # that one script looks at


async def add_copy(redis: RedisCommands, gallery: str, space: FeatureSpace) -> None:
    """Begin a second copy."""
    await take_out(redis, gallery, space.id)
    while not await redis.change(scripts.ADD_COPY, key_of(gallery), space.id, space.dim):
        await take_out(redis, gallery, space.id)  # another copy in this space came and went meanwhile
    await _complete(redis, gallery, space)


async def drop_copy(redis: RedisCommands, gallery: str, space: FeatureSpace, key: str | None) -> str | None:
    """Let a copy that does not serve be gone; returns what tells it from all others if it is to be taken out."""
    dropped = await redis.change(scripts.DROP_COPY, key_of(gallery), space.id, space.dim, key or "")
    return None if dropped is None else str(dropped.decode())


async def take_out(redis: RedisCommands, gallery: str, space: str) -> None:
    """Take a dropped copy's features out of the faces, in bounded steps. Several may do so at once."""
    with suppress(UnknownGalleryError), refusals_in_our_words():  # a gallery that has gone takes all with it
        record = await find(redis, gallery)
        if (number := record.dropped.get(space)) is None:
            return
        await drop_index(redis, record, number)
        while await redis.change(scripts.TAKE_OUT, key_of(gallery), space, number, STEP_FACES):
            pass


async def take_out_what_is_left(redis: RedisCommands) -> bool:
    """Take out copies that were dropped by who has ended since; False if some galleries cannot be reached."""
    records, unreachable = await find_all(redis)
    for record in records:
        for space in record.dropped:
            await take_out(redis, record.name, space)
    return not unreachable


async def serve(redis: RedisCommands, gallery: str, space: FeatureSpace, key: str | None, complete: bool) -> None:
    """Let a copy serve; its index holds all that it holds first."""
    await _complete(redis, gallery, space)
    await redis.change(scripts.SERVE, key_of(gallery), space.id, space.dim, key or "", int(complete))


async def claim(redis: RedisCommands, gallery: str, space: FeatureSpace, limit: int, lease_ms: int) -> Claim | None:
    """Lease faces that are missing in a copy, walking past those that are not, once around at most."""
    started_over = False
    arguments = (space.id, space.dim, limit, lease_ms, max(limit, STEP_FACES))
    while True:  # within the bound of the operation
        state, *leased = await redis.change(scripts.CLAIM, key_of(gallery), *arguments)
        if leased and leased[-1]:
            incarnation, number, lease_ends, rows = leased
            return Claim(f"{incarnation.decode()}:{number.decode()}:{lease_ends}", tuple(read_originals(rows)))
        if state == scripts.NOTHING_NOW or (state == scripts.STARTED_OVER and started_over):
            return None
        started_over = started_over or state == scripts.STARTED_OVER


async def fill(redis: RedisCommands, gallery: str, claim: Claim, renditions: Sequence[Rendition]) -> int:
    """Write the translations of a claim where they are still missing."""
    space = one_space(renditions)
    arguments = (*claim.token.split(":"), *fill_arguments(claim, renditions))
    return int(await redis.change(scripts.FILL, key_of(gallery), space.id, space.dim, *arguments))


async def _complete(redis: RedisCommands, gallery: str, space: FeatureSpace) -> None:
    record = await find(redis, gallery)
    if (copy := record.copy_in(space)) is not None:
        await complete_index(redis, record, copy)
