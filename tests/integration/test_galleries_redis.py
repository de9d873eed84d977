"""What only the Redis store has to cope with: a server that stops, answers late, or is set up badly."""

import asyncio
import logging
from pathlib import Path

import pytest

from contract.spaces import FeatureSpace
from contract.vectors import Features
from deploy.redis.start import RedisServer
from service.errors import GalleryUnavailableError, UnknownGalleryError
from service.galleries.base import GalleryStore
from service.galleries.redis import RedisGalleries
from service.galleries.redis_connection import RedisConnection
from service.galleries.redis_features import half_precision
from service.galleries.values import Face
from tests.integration.gallery_stores import (
    SPACE,
    RedisStores,
    administer,
    faces_of,
    index_of,
    native,
    unit_features,
)

WIDE = FeatureSpace(id="wide-512", dim=512)
WIDEST = FeatureSpace(id="widest-4096", dim=4096)
pytestmark = pytest.mark.anyio


async def enrol(store: GalleryStore, faces: list[Face], features: Features, space: FeatureSpace = SPACE) -> None:
    for start in range(0, len(faces), 2000):
        await store.upsert("staff", faces[start : start + 2000], native(features[start : start + 2000], space))


def drop_index(own_redis: RedisServer) -> None:
    for index in administer(own_redis, "FT._LIST"):  # type: ignore[attr-defined] # a list
        administer(own_redis, "FT.DROPINDEX", index)


async def test_a_killed_redis_loses_nothing_it_acknowledged(own_redis: RedisServer) -> None:
    acknowledged: list[int] = []

    async def enrol_without_end(store: GalleryStore) -> None:
        for batch in range(1_000_000):
            faces = [Face(f"face-{batch}-{i}", f"subject-{batch}") for i in range(20)]
            await store.upsert("staff", faces, native(unit_features(20, seed=batch)))
            acknowledged.append(batch)

    async with RedisStores(own_redis).open() as store:
        await store.create("staff", SPACE)
        writing = asyncio.create_task(enrol_without_end(store))
        while len(acknowledged) < 20:
            assert not writing.done()
            await asyncio.sleep(0)
        await asyncio.to_thread(own_redis.kill)
        with pytest.raises(GalleryUnavailableError):
            await writing
        assert not await store.ready()
        with pytest.raises(GalleryUnavailableError):
            await store.search("staff", SPACE, unit_features(1), 1)
        await asyncio.to_thread(own_redis.start)
        assert await store.ready()
        info = await store.info("staff")
        assert info.faces == 20 * info.subjects  # no half batch
        assert len(acknowledged) <= info.subjects <= len(acknowledged) + 1
        for batch in acknowledged:
            [[best]] = (await store.search("staff", SPACE, unit_features(20, seed=batch)[3:4], 1)).matches
            assert best.face_id == f"face-{batch}-3"


async def test_a_search_is_whole_even_where_the_server_would_cut_it_short(own_redis: RedisServer) -> None:
    rows = 16_000  # 131 MB, several times what a core reads in a millisecond
    features, faces = unit_features(rows, dim=WIDEST.dim), faces_of(rows)
    async with RedisStores(own_redis).open() as store:
        await store.create("staff", WIDEST)
        for start in range(0, rows, 500):
            part = slice(start, start + 500)
            await store.upsert("staff", faces[part], native(features[part], WIDEST))
        administer(own_redis, "FT.CONFIG", "SET", "TIMEOUT", 1)
        administer(own_redis, "FT.CONFIG", "SET", "ON_TIMEOUT", "RETURN")
        for row in (0, rows // 2, rows - 1):
            probe = features[row : row + 1]
            query = ("*=>[KNN 1 @feature1 $probe]", "PARAMS", 2, "probe", half_precision(probe)[0], "DIALECT", 2)
            cut_short = administer(own_redis, "FT.SEARCH", index_of(own_redis), *query, "NOCONTENT")
            assert cut_short == [0]  # without a word
            [[best]] = (await store.search("staff", WIDEST, probe, 1)).matches
            assert best.face_id == faces[row].face_id


async def test_giving_up_a_search_leaves_no_answer_behind_for_the_next(own_redis: RedisServer) -> None:
    features = unit_features(5000, dim=WIDE.dim)
    async with RedisStores(own_redis).open() as store:
        await store.create("staff", WIDE)
        await enrol(store, faces_of(5000), features, WIDE)
        for wait_ms in range(0, 40, 2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(wait_ms / 1000):
                    await store.search("staff", WIDE, features[:2000], 1)
            row = wait_ms * 7
            [[best]] = (await store.search("staff", WIDE, features[row : row + 1], 1)).matches
            assert best.face_id == faces_of(5000)[row].face_id
            assert (await store.info("staff")).faces == 5000


async def test_writes_that_race_with_a_drop_leave_nothing_behind(own_redis: RedisServer) -> None:
    async with RedisStores(own_redis).open() as store:
        await store.create("staff", SPACE)
        writes = [store.upsert("staff", faces_of(20), native(unit_features(20))) for _ in range(60)]
        outcomes = await asyncio.gather(*writes[:30], store.drop("staff"), *writes[30:], return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {list, type(None), UnknownGalleryError}
        assert any(isinstance(outcome, UnknownGalleryError) for outcome in outcomes)
        assert administer(own_redis, "DBSIZE") == 0
        assert administer(own_redis, "FT._LIST") == []


async def test_a_gallery_whose_index_is_gone_can_still_be_dropped(own_redis: RedisServer) -> None:
    async with RedisStores(own_redis).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces_of(10), native(unit_features(10)))
        drop_index(own_redis)
        await store.drop("staff")
        assert administer(own_redis, "DBSIZE") == 0


async def test_a_missing_index_is_made_again_and_complete_before_a_search(own_redis: RedisServer) -> None:
    features = unit_features(5000)
    async with RedisStores(own_redis).open() as store, RedisStores(own_redis).open() as other:
        await store.create("staff", SPACE)
        await enrol(store, faces_of(5000), features)
        drop_index(own_redis)
        searches = (one.search("staff", SPACE, features[i::500], 1) for i in range(8) for one in (store, other))
        for place, found in enumerate(await asyncio.gather(*searches)):
            expected = [face.face_id for face in faces_of(5000)[place // 2 :: 500]]
            assert [best.face_id for [best] in found.matches] == expected
        assert len(administer(own_redis, "FT._LIST")) == 1  # type: ignore[arg-type] # a list


async def test_faces_enrolled_while_an_index_is_read_hide_nobody_who_is_not_read_yet(own_redis: RedisServer) -> None:
    rows, more = 12_000, 1500
    features, faces = unit_features(rows), faces_of(rows)
    async with RedisStores(own_redis).open() as store:
        await store.create("staff", SPACE)
        await enrol(store, faces, features)
        drop_index(own_redis)
        new = [Face(f"new-{row}", f"new-{row}") for row in range(more)]
        batches = [slice(start, start + 100) for start in range(0, more, 100)]
        writes = (store.upsert("staff", new[b], native(unit_features(more, seed=1)[b])) for b in batches)
        found, *_ = await asyncio.gather(store.search("staff", SPACE, features[::60], 1), *writes)
        assert [matches[0].face_id for matches in found.matches] == [face.face_id for face in faces[::60]]


async def test_a_full_redis_refuses_the_whole_batch(own_redis: RedisServer) -> None:
    async with RedisStores(own_redis).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces_of(10), native(unit_features(10)))
        administer(own_redis, "CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(GalleryUnavailableError, match="refused"):
            await store.upsert("staff", faces_of(50), native(unit_features(50)))
        assert (await store.info("staff")).faces == 10
        administer(own_redis, "CONFIG", "SET", "maxmemory", 0)
        assert sum(await store.upsert("staff", faces_of(50), native(unit_features(50)))) == 40


async def test_a_redis_that_keeps_nothing_is_warned_of(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    administer(own_redis, "CONFIG", "SET", "appendonly", "no")
    with caplog.at_level(logging.WARNING):
        async with RedisStores(own_redis).open() as store:
            assert await store.ready()
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == ["Redis runs without an append-only file: enrolled faces are lost when it stops"]


async def test_a_redis_with_an_append_only_file_is_not(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with RedisStores(own_redis).open() as store:
            assert await store.ready()
    assert caplog.records == []


async def test_a_store_opens_before_its_redis_and_is_ready_with_it(tmp_path: Path) -> None:
    server = RedisServer(data=tmp_path / "redis")
    async with RedisStores(server).open() as store:
        assert not await store.ready()
        with pytest.raises(GalleryUnavailableError, match="cannot be reached"):
            await store.list()
        with server:
            assert await store.ready()
            assert (await store.list()).galleries == []


async def test_a_redis_that_does_not_answer_is_given_up() -> None:
    async def never_answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _reader.read()
        writer.close()

    silent = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        connection = RedisConnection.open(f"redis://127.0.0.1:{port}/0", timeout_s=0.2)
        store = RedisGalleries(connection, faces_max=1, galleries_max=1)
        with pytest.raises(GalleryUnavailableError, match="did not answer in time"):
            await store.info("staff")
        await store.close()
