"""Two gateways at once on one Redis, a Redis that hangs, and answers that are lost on the way."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deploy.redis.start import RedisServer
from service.errors import GalleryUnavailableError, UnknownFaceError, UnknownGalleryError
from service.galleries.redis import RedisGalleries
from service.galleries.redis_index import as_mapping
from tests.integration.gallery_stores import (
    FACES_MAX,
    GALLERIES_MAX,
    SPACE,
    RedisStores,
    administer,
    faces_of,
    index_of,
    native,
    unit_features,
)
from tests.integration.redis_relay import RedisRelay

ROUNDS = 50
PATIENT_MS = 60_000
HASTY_MS = 200
HASTY_AT_MOST_S = 5.0  # far above HASTY_MS for a busy machine, far below the ten seconds of a patient store
pytestmark = pytest.mark.anyio


def drop_index(own_redis: RedisServer) -> None:
    """Leave the one gallery as an earlier version may have: made, and without its index."""
    for index in administer(own_redis, "FT._LIST"):  # type: ignore[attr-defined] # a list
        administer(own_redis, "FT.DROPINDEX", index)


@asynccontextmanager
async def opened(url: str, timeout_ms: int) -> AsyncIterator[RedisGalleries]:
    store = await RedisGalleries.open(url, faces_max=FACES_MAX, galleries_max=GALLERIES_MAX, timeout_ms=timeout_ms)
    try:
        yield store
    finally:
        await store.close()


async def test_a_gallery_made_while_one_of_its_name_is_dropped_is_listed_if_it_exists(own_redis: RedisServer) -> None:
    async with RedisStores(own_redis).open() as one, RedisStores(own_redis).open() as other:
        for _ in range(ROUNDS):
            await one.create("staff", SPACE)
            await asyncio.gather(other.create("staff", SPACE), one.drop("staff"))
            listed = [info.name for info in (await one.list()).galleries]
            try:
                await one.info("staff")
            except UnknownGalleryError:
                assert listed == []
            else:
                assert listed == ["staff"]


async def test_creations_and_drops_at_once_leave_neither_indexes_nor_places_taken(own_redis: RedisServer) -> None:
    async with RedisStores(own_redis).open() as one, RedisStores(own_redis).open() as other:
        for _ in range(ROUNDS):
            steps = [one.create("staff", SPACE), other.drop("staff"), other.create("staff", SPACE), one.drop("staff")]
            outcomes = await asyncio.gather(*steps, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} <= {bool, type(None), UnknownGalleryError}
        await one.create("staff", SPACE)
        await one.drop("staff")
        assert administer(own_redis, "DBSIZE") == 0
        assert administer(own_redis, "FT._LIST") == []
        assert [await one.create(f"gallery-{i}", SPACE) for i in range(GALLERIES_MAX)] == [True] * GALLERIES_MAX


async def test_a_creation_cut_off_before_its_record_takes_no_place_for_good(own_redis: RedisServer) -> None:
    async with RedisRelay(own_redis.url) as relay, opened(relay.url, HASTY_MS) as store:
        for number in range(GALLERIES_MAX):
            relay.hold(b"'serving', ARGV")
            with pytest.raises(GalleryUnavailableError, match="in time"):
                await store.create(f"half-made-{number}", SPACE)
            assert (await store.list()).galleries == []
        async with RedisStores(own_redis).open() as patient:
            assert await patient.create("staff", SPACE) is True
            assert [info.name for info in (await patient.list()).galleries] == ["staff"]


@pytest.mark.parametrize("lost", [b"'serving', ARGV", b"HSETNX", b"FT.CREATE"])
async def test_a_creation_whose_answer_is_lost_leaves_a_gallery_that_can_be_searched(
    own_redis: RedisServer, lost: bytes
) -> None:
    async with RedisRelay(own_redis.url) as relay, opened(relay.url, PATIENT_MS) as store:
        relay.lose(lost)
        with pytest.raises(GalleryUnavailableError, match="cannot be reached"):
            await store.create("staff", SPACE)
    await asyncio.to_thread(own_redis.kill)
    await asyncio.to_thread(own_redis.start)  # record and index are in the append-only file alike
    async with RedisStores(own_redis).open() as store:
        await store.upsert("staff", faces_of(1), native(unit_features(1)))
        [[best]] = (await store.search("staff", SPACE, unit_features(1), 1)).matches
        assert best.face_id == faces_of(1)[0].face_id
        assert len(administer(own_redis, "FT._LIST")) == 1  # type: ignore[arg-type] # a list


async def test_a_refused_index_is_an_unavailable_store(own_redis: RedisServer) -> None:
    administer(own_redis, "ACL", "SETUSER", "default", "-ft.create")
    async with RedisStores(own_redis).open() as store:
        with pytest.raises(GalleryUnavailableError, match="refused"):
            await store.create("staff", SPACE)
        administer(own_redis, "ACL", "SETUSER", "default", "+ft.create")
        assert await store.create("staff", SPACE) is False
        assert (await store.search("staff", SPACE, unit_features(1), 1)).matches == [[]]


async def test_a_missing_index_that_creation_makes_is_complete_when_it_returns(own_redis: RedisServer) -> None:
    faces, features = faces_of(FACES_MAX), unit_features(FACES_MAX)
    async with RedisStores(own_redis).open() as store:
        await store.create("staff", SPACE)
        for start in range(0, FACES_MAX, 2000):
            await store.upsert("staff", faces[start : start + 2000], native(features[start : start + 2000]))
        drop_index(own_redis)
        assert await store.create("staff", SPACE) is False
        told = as_mapping(administer(own_redis, "FT.INFO", index_of(own_redis)))  # type: ignore[arg-type] # names and values
        assert (int(told[b"indexing"]), float(told[b"percent_indexed"])) == (0, 1)  # not only when a search has waited
        assert int(told[b"num_docs"]) == FACES_MAX
        matches = (await store.search("staff", SPACE, features[::500], 1)).matches
        assert [best.face_id for [best] in matches] == [face.face_id for face in faces[::500]]


async def test_a_missing_index_is_not_made_for_a_gallery_dropped_meanwhile(own_redis: RedisServer) -> None:
    async with RedisRelay(own_redis.url) as relay, RedisStores(own_redis).open() as other:
        async with opened(relay.url, PATIENT_MS) as slow:
            await slow.create("staff", SPACE)
            drop_index(own_redis)
            relay.hold(b"FT.CREATE")
            creating = asyncio.create_task(slow.create("staff", SPACE))
            await relay.wait_until_reached()
            await other.drop("staff")
            relay.released.set()
            assert await creating is False
        assert administer(own_redis, "DBSIZE") == 0
        assert administer(own_redis, "FT._LIST") == []


async def test_a_full_redis_lets_a_gallery_be_dropped(own_redis: RedisServer) -> None:
    async with RedisStores(own_redis).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces_of(10), native(unit_features(10)))
        administer(own_redis, "CONFIG", "SET", "maxmemory", 1)
        await store.drop("staff")
        assert administer(own_redis, "DBSIZE") == 0


async def test_a_hung_redis_is_given_up_when_the_time_of_the_gateway_is_over(own_redis: RedisServer) -> None:
    async with opened(own_redis.url, HASTY_MS) as store:
        os.kill(own_redis.process.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(HASTY_AT_MOST_S):
                with pytest.raises(GalleryUnavailableError):
                    await store.list()
                assert not await store.ready()
                await asyncio.gather(  # more than there are connections
                    *(store.info("staff") for _ in range(50)), return_exceptions=True
                )
        finally:
            os.kill(own_redis.process.pid, signal.SIGCONT)


async def test_a_deletion_whose_answer_is_lost_is_not_answered_as_if_nothing_had_been_there(
    own_redis: RedisServer,
) -> None:
    faces = faces_of(10)
    async with RedisRelay(own_redis.url) as relay, opened(relay.url, PATIENT_MS) as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(unit_features(10)))
        relay.lose(faces[3].face_id.encode())
        with pytest.raises(GalleryUnavailableError, match="cannot be reached"):
            await store.delete_face("staff", faces[3].face_id)
        assert relay.reached.is_set()
        with pytest.raises(UnknownFaceError):  # it was carried out; the connection is made anew
            await store.delete_face("staff", faces[3].face_id)


async def test_a_restart_of_redis_between_two_calls_goes_unnoticed(own_redis: RedisServer) -> None:
    async with RedisStores(own_redis).open() as store:
        await store.create("staff", SPACE)
        await asyncio.to_thread(own_redis.kill)
        await asyncio.to_thread(own_redis.start)
        assert (await store.info("staff")).faces == 0
        assert await store.upsert("staff", faces_of(1), native(unit_features(1))) == [True]
