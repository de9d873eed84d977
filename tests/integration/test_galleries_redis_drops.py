"""Galleries and copies in Redis are dropped at once and erased step by step, behind the answer where it takes long."""

import asyncio

import numpy as np
import pytest

from deploy.redis.start import RedisServer
from service.errors import GalleryUnavailableError, UnknownGalleryError
from service.galleries import redis_copies, redis_lifecycle
from service.galleries.base import GalleryStore
from service.galleries.redis_records import key_of
from tests.integration.gallery_copies import complete, copies, enrolled
from tests.integration.gallery_stores import (
    OTHER_SPACE,
    SPACE,
    RedisStores,
    administer,
    faces_of,
    native,
    unit_features,
)
from tests.integration.test_galleries_redis_faults import HASTY_MS, opened

pytestmark = pytest.mark.anyio


async def filled(store: GalleryStore, rows: int = 1000) -> None:
    """A gallery of so many faces."""
    await store.create("staff", SPACE)
    for start in range(0, rows, 1000):
        part = slice(start, start + 1000)
        await store.upsert("staff", faces_of(rows)[part], native(unit_features(rows)[part]))


async def exists(store: GalleryStore, gallery: str) -> bool:
    try:
        await store.info(gallery)
    except UnknownGalleryError:
        return False
    return True


async def drop_until_unknown(store: GalleryStore) -> None:
    while True:
        await store.drop("staff")


def is_being_taken_out(own_redis: RedisServer) -> bool:
    """Whether features of a dropped copy still lie in the faces."""
    fields = administer(own_redis, "HKEYS", key_of("staff"))
    return any(field.startswith(b"dropped:") for field in fields)  # type: ignore[attr-defined] # a list


async def test_a_drop_that_was_interrupted_is_completed_by_the_next_creation(own_redis: RedisServer) -> None:
    async with RedisStores(own_redis).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces_of(5000), native(unit_features(5000)))
        dropping = asyncio.create_task(store.drop("staff"))
        async with asyncio.timeout(60):
            while await exists(store, "staff"):
                pass
        dropping.cancel()
        await asyncio.wait([dropping])
        assert await store.create("staff", OTHER_SPACE) is True
        assert (await store.info("staff")).faces == 0
        assert (await store.search("staff", OTHER_SPACE, unit_features(1), 5)).matches == [[]]
        assert administer(own_redis, "DBSIZE") == 2  # the gallery and the set of all galleries
        assert len(administer(own_redis, "FT._LIST")) == 1  # type: ignore[arg-type] # a list


async def test_a_drop_that_takes_long_is_answered_and_goes_on_and_a_repetition_joins_it(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_lifecycle, "PURGE_FACES", 1)
    async with RedisStores(own_redis).open() as store:
        await filled(store)
    async with opened(own_redis.url, HASTY_MS) as store, asyncio.timeout(60):
        await store.drop("staff")
        assert administer(own_redis, "DBSIZE") != 0
        with pytest.raises(UnknownGalleryError):
            await store.info("staff")
        assert (await store.list()).galleries == []
        with pytest.raises(UnknownGalleryError):
            await drop_until_unknown(store)
    assert administer(own_redis, "DBSIZE") == 0
    assert administer(own_redis, "FT._LIST") == []


async def test_what_a_gateway_that_ended_has_left_of_a_drop_is_erased_at_the_next_opening(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_lifecycle, "PURGE_FACES", 1)
    async with RedisStores(own_redis).open() as store:
        await filled(store)
    async with opened(own_redis.url, HASTY_MS) as store:
        await store.drop("staff")
    assert administer(own_redis, "DBSIZE") != 0
    monkeypatch.undo()
    async with RedisStores(own_redis).open() as store, asyncio.timeout(60):
        while administer(own_redis, "DBSIZE"):
            assert (await store.list()).galleries == []


async def test_steps_that_each_answer_in_time_are_bounded_together_and_what_they_did_stays(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_lifecycle, "PURGE_FACES", 1)
    async with RedisStores(own_redis).open() as store:
        await filled(store, 10_000)  # more steps than any machine takes in time
    interruptions = 0
    async with opened(own_redis.url, HASTY_MS) as store, asyncio.timeout(60):
        await store.drop("staff")
        while True:
            try:
                assert await store.create("staff", SPACE)
                break
            except GalleryUnavailableError:
                interruptions += 1
    assert interruptions > 0
    assert administer(own_redis, "DBSIZE") == 2  # the gallery and the names of all


async def test_a_dropped_copy_is_taken_out_step_by_step_and_what_is_left_by_the_next_of_its_space(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RedisStores(own_redis).open() as store:
        await enrolled(store, 1000)
        await store.add_copy("staff", OTHER_SPACE)
        await complete(store, limit=1000)
        await store.serve("staff", OTHER_SPACE)
        monkeypatch.setattr(redis_copies, "STEP_FACES", 1)
        async with opened(own_redis.url, HASTY_MS) as hasty:
            await hasty.drop_copy("staff", SPACE)
        assert is_being_taken_out(own_redis)
        assert await copies(store) == {OTHER_SPACE.id: 1000}
        originals = await store.originals("staff", None, 1000)
        assert {original.space for original in originals} == {SPACE}
        [late, *_] = originals[-1:]
        anew = native(unit_features(1, seed=9), OTHER_SPACE)
        await store.upsert("staff", [late.face], anew)
        monkeypatch.setattr(redis_copies, "STEP_FACES", 100)
        await store.add_copy("staff", SPACE)
        assert await copies(store) == {OTHER_SPACE.id: 1000, SPACE.id: 0}
        after = await store.originals("staff", None, 1000)
        for before, now in zip(originals[:-1], after[:-1], strict=True):
            assert (now.face, now.revision) == (before.face, before.revision)
            np.testing.assert_array_equal(now.feature, before.feature)
        assert after[-1].space == OTHER_SPACE
        assert len(administer(own_redis, "FT._LIST")) == 2  # type: ignore[arg-type] # a list


async def test_what_a_gateway_that_ended_has_left_of_a_dropped_copy_is_taken_out_at_the_next_opening(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RedisStores(own_redis).open() as store:
        await enrolled(store, 1000)
        await store.add_copy("staff", OTHER_SPACE)
        await complete(store, limit=1000)
    monkeypatch.setattr(redis_copies, "STEP_FACES", 1)
    async with opened(own_redis.url, HASTY_MS) as hasty:
        await hasty.drop_copy("staff", OTHER_SPACE)
    assert is_being_taken_out(own_redis)
    monkeypatch.undo()
    async with RedisStores(own_redis).open() as store, asyncio.timeout(60):
        while is_being_taken_out(own_redis):
            assert await copies(store) == {SPACE.id: 1000}
        await store.drop_copy("staff", OTHER_SPACE)
        assert len(administer(own_redis, "FT._LIST")) == 1  # type: ignore[arg-type] # a list
