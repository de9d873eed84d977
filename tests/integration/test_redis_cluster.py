"""Redis Cluster, three primaries with a replica each: galleries spread, a server dies, nothing acknowledged is lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.redis.cluster import PRIMARIES, RedisClusterServers, ask
from deploy.redis.start import RedisServer
from service.errors import GalleryUnavailableError
from service.galleries.base import GalleryStore
from service.galleries.redis import RedisGalleries
from service.galleries.values import Face, Match
from tests.integration.gallery_copies import LONG_MS, complete, translate
from tests.integration.gallery_stores import OTHER_SPACE, SPACE, faces_of, native, unit_features

GALLERIES = tuple(f"gallery-{number}" for number in range(8))
RECOVERY_S = 60
BATCH = 20
pytestmark = pytest.mark.anyio


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisClusterServers]:
    """A cluster of the test's own, to be broken."""
    with RedisClusterServers(tmp_path) as cluster:
        yield cluster


@asynccontextmanager
async def opened(cluster: RedisClusterServers) -> AsyncIterator[RedisGalleries]:
    store = await RedisGalleries.open(cluster.url, faces_max=10_000, galleries_max=20)
    try:
        yield store
    finally:
        await store.close()


def holder_of(cluster: RedisClusterServers, gallery: str) -> RedisServer:
    return cluster.primary_of(f"r3an:{{{gallery}}}")


async def best(store: GalleryStore, gallery: str, batch: int) -> Match:
    [[match]] = (await store.search(gallery, SPACE, unit_features(BATCH, seed=batch)[3:4], 1)).matches
    return match


async def enrol(store: GalleryStore, gallery: str, batch: int) -> None:
    faces = [Face(f"face-{batch}-{i}", f"subject-{batch}") for i in range(BATCH)]
    await store.upsert(gallery, faces, native(unit_features(BATCH, seed=batch)))


async def until_available(attempt: Callable[[], Awaitable[object]]) -> None:
    """Try again while the store says that it cannot."""
    async with asyncio.timeout(RECOVERY_S):
        while True:
            try:
                await attempt()
            except GalleryUnavailableError:
                await asyncio.sleep(0)
            else:
                return


async def test_galleries_spread_over_the_servers_and_each_lies_on_one_with_its_replica(
    cluster: RedisClusterServers,
) -> None:
    async with opened(cluster) as store:
        assert await store.ready()
        for batch, gallery in enumerate(GALLERIES):
            assert await store.create(gallery, SPACE) is True
            await enrol(store, gallery, batch)
        assert [info.name for info in (await store.list()).galleries] == sorted(GALLERIES)
        assert len({holder_of(cluster, gallery).port for gallery in GALLERIES}) == PRIMARIES
        for batch, gallery in enumerate(GALLERIES):
            found = await best(store, gallery, batch)
            assert found.face_id == f"face-{batch}-3"
            keys = [bool(ask(server, "KEYS", f"r3an:{{{gallery}}}*")) for server in cluster.servers]
            assert keys.count(True) == 2
        await store.drop(GALLERIES[0])
        assert [info.name for info in (await store.list()).galleries] == sorted(GALLERIES[1:])
        for gallery in GALLERIES[1:]:
            await store.drop(gallery)
        assert [ask(server, "DBSIZE") for server in cluster.servers[:PRIMARIES]] == [0] * PRIMARIES
        assert [ask(server, "FT._LIST") for server in cluster.servers[:PRIMARIES]] == [[]] * PRIMARIES


async def test_a_killed_primary_is_replaced_by_its_replica_and_nothing_acknowledged_is_lost(
    cluster: RedisClusterServers,
) -> None:
    acknowledged: list[int] = []

    async def enrol_without_end(store: GalleryStore) -> None:
        for batch in range(1_000_000):
            await enrol(store, "staff", batch)
            acknowledged.append(batch)

    async with opened(cluster) as store:
        await store.create("staff", SPACE)
        killed = holder_of(cluster, "staff")
        elsewhere = next(name for name in GALLERIES if holder_of(cluster, name) is not killed)
        await store.create(elsewhere, SPACE)
        await enrol(store, elsewhere, 0)
        writing = asyncio.create_task(enrol_without_end(store))
        while len(acknowledged) < 20:
            assert not writing.done()
            await asyncio.sleep(0)
        await asyncio.to_thread(killed.kill)
        with pytest.raises(GalleryUnavailableError):
            await writing
        assert (await best(store, elsewhere, 0)).face_id == "face-0-3"  # others are served on
        assert await store.ready()
        await until_available(lambda: store.info("staff"))  # from the replica, which has taken over
        info = await store.info("staff")
        assert holder_of(cluster, "staff") is not killed
        assert info.faces == BATCH * info.subjects  # no half batch
        assert len(acknowledged) <= info.subjects <= len(acknowledged) + 1
        for batch in acknowledged:
            assert (await best(store, "staff", batch)).face_id == f"face-{batch}-3"
        with pytest.raises(GalleryUnavailableError):  # nobody would have it besides this one server
            await enrol(store, "staff", 1_000_000)
        assert (await store.info("staff")).faces == info.faces
        await asyncio.to_thread(killed.start)
        await asyncio.to_thread(cluster.wait_until_whole)
        await enrol(store, "staff", 1_000_000)
        await asyncio.to_thread(holder_of(cluster, "staff").kill)
        await until_available(lambda: best(store, "staff", 1_000_000))
        for batch in [*acknowledged, 1_000_000]:
            assert (await best(store, "staff", batch)).face_id == f"face-{batch}-3"
        assert holder_of(cluster, "staff") is killed


async def test_a_change_no_replica_confirms_is_not_acknowledged(cluster: RedisClusterServers) -> None:
    async with opened(cluster) as store:
        await store.create("staff", SPACE)
        primary = cluster.servers.index(holder_of(cluster, "staff"))
        replica = cluster.servers[(primary + PRIMARIES) % (2 * PRIMARIES)]
        os.kill(replica.process.pid, signal.SIGSTOP)  # still connected: the primary carries the change out
        try:
            with pytest.raises(GalleryUnavailableError, match="no replica"):
                await enrol(store, "staff", 0)
            assert (await store.info("staff")).faces == BATCH
        finally:
            os.kill(replica.process.pid, signal.SIGCONT)
        await until_available(lambda: enrol(store, "staff", 1))
        assert (await store.info("staff")).faces == 2 * BATCH


async def test_a_copy_is_filled_and_serves_through_the_death_of_a_primary(cluster: RedisClusterServers) -> None:
    faces, features = faces_of(300), unit_features(300)
    async with opened(cluster) as store, opened(cluster) as other:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(features))
        await store.add_copy("staff", OTHER_SPACE)
        claim = await store.claim("staff", OTHER_SPACE, 100, LONG_MS)
        assert claim is not None
        killed = holder_of(cluster, "staff")
        await asyncio.to_thread(killed.kill)
        with pytest.raises(GalleryUnavailableError):
            await translate(store, claim)
        await asyncio.to_thread(killed.start)
        await asyncio.to_thread(cluster.wait_until_whole)
        assert await translate(store, claim) == 100
        written = await asyncio.gather(*(complete(worker, limit=40) for worker in (store, other, store)))
        assert sum(written) == 200
        await other.serve("staff", OTHER_SPACE)
        assert (await store.info("staff")).space == OTHER_SPACE
        assert (await store.search("staff", OTHER_SPACE, features[:1], 300)).searched == 300


async def test_notes_and_counts_are_those_of_all_gateways(cluster: RedisClusterServers) -> None:
    async with opened(cluster) as store, opened(cluster) as other:
        assert await store.note("job", "one", None) is True
        assert await other.note("job", "two", None) is False
        await asyncio.gather(*(one.tally("job", {"agreed": 1}) for one in (store, other, store)))
        assert await other.tallied("job") == {"agreed": 3}
        assert await other.note("job", None, "one") is True
        assert (await store.notes(), await store.tallied("job")) == ({}, {})
