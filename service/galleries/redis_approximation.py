"""The approximate search of a copy: a second index, of neighbours, and what it finds of what a full scan finds."""

from collections.abc import Sequence

from contract.spaces import FeatureSpace
from service.errors import ConflictError, CopiesChangedError
from service.galleries import redis_copy_scripts as scripts
from service.galleries.recall import PROBES_AT_ONCE, PROBES_MAX, TOP_K, Recall, check_size
from service.galleries.redis_commands import RedisCommands, refusals_in_our_words
from service.galleries.redis_features import from_half
from service.galleries.redis_index import complete_index, drop_approximate_index, has_approximate_index
from service.galleries.redis_lifecycle import find_copy
from service.galleries.redis_nearest import Search
from service.galleries.redis_records import GalleryRecord, HeldCopy, approximation_text, key_of
from service.galleries.redis_search import search_index
from service.galleries.refusals import APPROXIMATION_REMOVED, COPY_DROPPED
from service.galleries.values import Approximation


async def find_approximation(redis: RedisCommands, gallery: str, space: FeatureSpace) -> Approximation | None:
    """A copy's approximation, if its index is there and complete. Raises GallerySpaceMismatchError."""
    record, copy = await find_copy(redis, gallery, space)
    if copy.approximation is not None and await has_approximate_index(redis, record, copy):
        return copy.approximation
    check_size(copy.faces)
    return None


async def build(redis: RedisCommands, gallery: str, space: FeatureSpace) -> Approximation:
    """Have Redis make the index, or finish it, and measure it. Takes no notice of the bound of an operation."""
    with refusals_in_our_words():
        record, copy = await find_copy(redis, gallery, space)
        await complete_index(redis, record, copy)
        await complete_index(redis, record, copy, approximate=True)
        recall = await _measure(redis, record, copy)
        now, copy_now = await find_copy(redis, gallery, space)
        if not record.shares_copy(now, copy):
            raise CopiesChangedError(COPY_DROPPED)
        approximation = recall.approximation(copy_now.faces)
        told = (space.id, space.dim, copy.number, approximation_text(approximation))
        await redis.change(scripts.KEEP_APPROXIMATION, key_of(gallery), *told)
        # Whoever removes it drops the index first: where that is gone, what was just kept must go.
        if not await has_approximate_index(redis, record, copy):
            await _forget(redis, gallery, copy)
            raise ConflictError(APPROXIMATION_REMOVED)
        return approximation


async def remove(redis: RedisCommands, gallery: str, space: FeatureSpace) -> None:
    """Leave a copy without an approximation. Raises GallerySpaceMismatchError."""
    record, copy = await find_copy(redis, gallery, space)
    await drop_approximate_index(redis, record, copy.number)
    await _forget(redis, gallery, copy)


async def _forget(redis: RedisCommands, gallery: str, copy: HeldCopy) -> None:
    told = (copy.space.id, copy.space.dim, copy.number)
    await redis.change(scripts.FORGET_APPROXIMATION, key_of(gallery), *told)


async def _measure(redis: RedisCommands, record: GalleryRecord, copy: HeldCopy) -> Recall:
    chosen = await redis.command("ZRANDMEMBER", record.faces_key, PROBES_MAX)
    face_ids = sorted(face_id.decode() for face_id in chosen)
    recall = Recall()
    for start in range(0, len(face_ids), PROBES_AT_ONCE):
        await _count_found(redis, record, copy, face_ids[start : start + PROBES_AT_ONCE], recall)
    return recall


async def _count_found(
    redis: RedisCommands, record: GalleryRecord, copy: HeldCopy, face_ids: Sequence[str], recall: Recall
) -> None:
    """Count what both searches find for faces, but for those that have gone."""
    field = f"feature:{copy.space.id}"
    packed = await redis.commands([("HGET", record.face_key(face_id), field) for face_id in face_ids])
    held = {face_id: feature for face_id, feature in zip(face_ids, packed, strict=True) if feature is not None}
    if not held:
        return
    probes = from_half([*held.values()], copy.space.dim)
    exact, approximate = [
        await search_index(redis, Search(record, copy, TOP_K, approximate=approximate), probes)
        for approximate in (False, True)
    ]
    recall.add([*held], exact.matches, approximate.matches)
