"""Search in a copy: Redis scans every face, or follows a graph of neighbours where the caller allows for it.

What it finds is rescored in float64 from the stored features.
"""

from contextlib import suppress

from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.errors import UnknownGalleryError
from service.galleries.redis_commands import CommandRefusedError, RedisCommands
from service.galleries.redis_index import complete_index, has_approximate_index
from service.galleries.redis_lifecycle import find, find_copy
from service.galleries.redis_nearest import Search, count, nearest
from service.galleries.redis_subjects import rank_subjects
from service.galleries.refusals import NO_GALLERY, no_copy
from service.galleries.values import Found, Ranking, Where, may_approximate


async def search(
    redis: RedisCommands,
    gallery: str,
    space: FeatureSpace,
    probes: Features,
    top_k: int,
    ranking: Ranking,
    where: Where,
    exact: bool,
) -> Found:
    """The top_k of each probe [N, d] in the copy of their space, whose index is completed where it is not."""
    record, copy = await find_copy(redis, gallery, space)
    what = Search(record, copy, top_k, ranking, where)
    try:
        await complete_index(redis, record, copy)
        if not exact and await _can_approximate(redis, what):
            with suppress(CommandRefusedError):  # the approximation was removed meanwhile
                return await search_index(redis, what._replace(approximate=True), probes)
        return await search_index(redis, what, probes)
    except CommandRefusedError:
        now = await find(redis, gallery)
        if now.incarnation != record.incarnation:
            raise UnknownGalleryError(NO_GALLERY) from None
        if not record.shares_copy(now, copy):
            raise no_copy(space) from None
        raise


async def _can_approximate(redis: RedisCommands, what: Search) -> bool:
    if what.copy.approximation is None or not may_approximate(what.ranking, what.where):
        return False
    return await has_approximate_index(redis, what.record, what.copy)


async def search_index(redis: RedisCommands, what: Search, probes: Features) -> Found:
    """The top_k of each probe [N, d] by a complete index.

    Raises:
        CommandRefusedError: the index is gone.
        RankingLimitError: subjects cannot be told apart by the faces that are looked at.
    """
    searched = await count(redis, what)
    if searched == 0:
        return Found([[] for _ in probes], 0)
    found = await nearest(redis, what, probes, 0, what.candidates)
    if what.ranking is not Ranking.FACES:
        pairs = zip(probes, found, strict=True)
        found = [await rank_subjects(redis, what, probe, faces) for probe, faces in pairs]
    return Found([ranked[: what.top_k] for ranked in found], searched, exact=not what.approximate)
