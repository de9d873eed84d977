"""Galleries and copies in Redis are dropped at once and erased step by step, behind the answer where it takes long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import redis

from contract.spaces import FeatureSpace
from deploy.redis.start import RedisServer
from service.errors import GalleryUnavailableError, UnknownGalleryError
from service.galleries import redis_copies, redis_lifecycle
from service.galleries import redis_gallery_scripts as scripts
from service.galleries.base import GalleryStore
from service.galleries.redis import RedisGalleries
from service.galleries.redis_cluster_connection import connect
from service.galleries.redis_records import key_of
from tests.integration.gallery_copies import complete, copies, enrolled
from tests.integration.gallery_stores import (
    FACES_MAX,
    GALLERIES_MAX,
    OTHER_SPACE,
    SPACE,
    RedisStores,
    administer,
    faces_of,
    native,
    unit_features,
)
from tests.integration.redis_relay import RedisRelay
from tests.integration.test_galleries_redis_faults import HASTY_MS, PATIENT_MS

PURGE_STEP = b"ZREMRANGEBYRANK"
TAKE_OUT_STEP = b"#face_ids < steps"
KEYS_OF_A_DROP = 2  # what was dropped, without its faces, and the names of all galleries
pytestmark = pytest.mark.anyio


@asynccontextmanager
async def hurried(url: str, timeout_ms: int = PATIENT_MS) -> AsyncIterator[RedisGalleries]:
    """A store that answers before an erasure can have ended, and erases nothing that it has not dropped."""
    bounds = {"faces_max": FACES_MAX, "galleries_max": GALLERIES_MAX}
    store = RedisGalleries(connect(url, timeout_ms / 1000), **bounds, wait_s=0.01)
    try:
        yield store
    finally:
        await store.close()


async def filled(store: GalleryStore, rows: int = 1000) -> None:
    """A gallery of so many faces, at most what is enrolled at once."""
    await store.create("staff", SPACE)
    await store.upsert("staff", faces_of(rows), native(unit_features(rows)))


async def drop_until_unknown(store: GalleryStore) -> None:
    while True:
        await store.drop("staff")


def keys_left(own_redis: RedisServer) -> int:
    return int(administer(own_redis, "DBSIZE"))  # type: ignore[call-overload,no-any-return] # a number


def erasures_begun(own_redis: RedisServer) -> int:
    """How often it was begun to erase a gallery: first go the two indexes of its copy, there or not."""
    calls = administer(own_redis, "INFO", "commandstats")
    return int(calls["cmdstat_FT.DROPINDEX"]["calls"]) // 2  # type: ignore[index] # a mapping


def is_being_taken_out(own_redis: RedisServer) -> bool:
    """Whether features of a dropped copy still lie in the faces."""
    fields = administer(own_redis, "HKEYS", key_of("staff"))
    return any(field.startswith(b"dropped:") for field in fields)  # type: ignore[attr-defined] # a list


def features_left(own_redis: RedisServer, space: FeatureSpace) -> int:
    """How many faces have a feature in this space."""
    with redis.Redis.from_url(own_redis.url) as client:
        return sum(bool(client.hexists(key, f"feature:{space.id}")) for key in client.scan_iter("*:face:*"))


async def test_a_drop_that_was_interrupted_is_completed_by_the_next_creation(own_redis: RedisServer) -> None:
    async with RedisStores(own_redis).open() as store, RedisRelay(own_redis.url) as relay:
        await filled(store)
        async with hurried(relay.url) as dropping:
            relay.hold(PURGE_STEP, passing=1)
            await dropping.drop("staff")
            await relay.wait_until_reached()
        assert keys_left(own_redis) == KEYS_OF_A_DROP + 1001  # half of all faces and subjects, and the set of faces
        assert await store.create("staff", OTHER_SPACE) is True
        assert (await store.info("staff")).faces == 0
        assert (await store.search("staff", OTHER_SPACE, unit_features(1), 5)).matches == [[]]
        assert keys_left(own_redis) == 2  # the gallery and the set of all galleries
        assert len(administer(own_redis, "FT._LIST")) == 1  # type: ignore[arg-type] # a list


async def test_a_drop_that_takes_long_is_answered_and_goes_on_and_a_repetition_joins_it(own_redis: RedisServer) -> None:
    async with RedisRelay(own_redis.url) as relay, hurried(relay.url) as store, asyncio.timeout(60):
        await filled(store)
        relay.hold(PURGE_STEP)
        await store.drop("staff")
        with pytest.raises(UnknownGalleryError):
            await store.info("staff")
        assert (await store.list()).galleries == []
        await relay.wait_until_reached()
        await store.drop("staff")
        assert keys_left(own_redis) > KEYS_OF_A_DROP
        relay.released.set()
        with pytest.raises(UnknownGalleryError):
            await drop_until_unknown(store)
    assert erasures_begun(own_redis) == 1
    assert keys_left(own_redis) == 0
    assert administer(own_redis, "FT._LIST") == []


async def test_what_a_gateway_that_ended_has_left_of_a_drop_is_erased_at_the_next_opening(
    own_redis: RedisServer,
) -> None:
    async with RedisRelay(own_redis.url) as relay, hurried(relay.url) as store:
        await filled(store)
        relay.hold(PURGE_STEP, passing=1)
        await store.drop("staff")
        await relay.wait_until_reached()
    assert keys_left(own_redis) > KEYS_OF_A_DROP
    async with RedisStores(own_redis).open() as store, asyncio.timeout(60):
        while keys_left(own_redis):
            assert (await store.list()).galleries == []


async def test_steps_that_each_answer_in_time_are_bounded_together_and_what_they_did_stays(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RedisRelay(own_redis.url) as relay, hurried(relay.url) as store:
        await filled(store, 100)
        relay.hold(PURGE_STEP)
        await store.drop("staff")
        await relay.wait_until_reached()
    monkeypatch.setattr(redis_lifecycle, "PURGE_FACES", 1)
    monkeypatch.setattr(scripts, "PURGE", scripts.PURGE.replace("return 0", "return 1"))  # always one more to take
    async with hurried(own_redis.url, HASTY_MS) as store, asyncio.timeout(60):
        while keys_left(own_redis) > KEYS_OF_A_DROP:
            with pytest.raises(GalleryUnavailableError, match="in time"):
                await store.create("staff", SPACE)
    monkeypatch.undo()
    async with RedisStores(own_redis).open() as store:
        assert await store.create("staff", SPACE) is True
    assert keys_left(own_redis) == 2  # the gallery and the names of all


async def end_while_taking_out(own_redis: RedisServer, space: FeatureSpace) -> None:
    """A gateway drops a copy of 1,000 faces and ends when 400 of them are without it, at 100 a step."""
    async with RedisRelay(own_redis.url) as relay, hurried(relay.url) as ended:
        relay.hold(TAKE_OUT_STEP, passing=4)
        await ended.drop_copy("staff", space)
        await relay.wait_until_reached()
    assert is_being_taken_out(own_redis)
    assert features_left(own_redis, space) == 600


async def test_a_dropped_copy_is_taken_out_step_by_step_and_what_is_left_by_the_next_of_its_space(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RedisStores(own_redis).open() as store:
        await enrolled(store, 1000)
        await store.add_copy("staff", OTHER_SPACE)
        await complete(store, limit=1000)
        await store.serve("staff", OTHER_SPACE)
        monkeypatch.setattr(redis_copies, "STEP_FACES", 100)
        await end_while_taking_out(own_redis, SPACE)
        assert await copies(store) == {OTHER_SPACE.id: 1000}
        originals = await store.originals("staff", None, 1000)
        assert {original.space for original in originals} == {SPACE}
        [late, *_] = originals[-1:]
        anew = native(unit_features(1, seed=9), OTHER_SPACE)
        await store.upsert("staff", [late.face], anew)
        await store.add_copy("staff", SPACE)
        assert await copies(store) == {OTHER_SPACE.id: 1000, SPACE.id: 0}
        assert features_left(own_redis, SPACE) == 0
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
    monkeypatch.setattr(redis_copies, "STEP_FACES", 100)
    await end_while_taking_out(own_redis, OTHER_SPACE)
    async with RedisStores(own_redis).open() as store, asyncio.timeout(60):
        while is_being_taken_out(own_redis):
            assert await copies(store) == {SPACE.id: 1000}
        assert features_left(own_redis, OTHER_SPACE) == 0
        await store.drop_copy("staff", OTHER_SPACE)
        assert len(administer(own_redis, "FT._LIST")) == 1  # type: ignore[arg-type] # a list
