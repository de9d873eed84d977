"""Two gateways at once on one Redis, a Redis that hangs, and answers that are lost on the way."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deploy.redis.start import RedisServer
from service.errors import UnknownGalleryError
from service.galleries.redis import RedisGalleries
from tests.integration.gallery_stores import FACES_MAX, GALLERIES_MAX, SPACE, RedisStores, faces_of, unit_features
from tests.integration.redis_relay import RedisRelay

ROUNDS = 200
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, to be stopped and filled."""
    with RedisServer(data=tmp_path / "redis") as server:
        yield server


def administer(server: RedisServer, *command: str | int) -> object:
    """Send a command as an operator would."""
    with redis.Redis.from_url(server.url, protocol=2) as client:
        answer: object = client.execute_command(*command)
        return answer


async def test_a_gallery_made_while_one_of_its_name_is_dropped_is_listed_if_it_exists(server: RedisServer) -> None:
    async with RedisStores(server).open() as one, RedisStores(server).open() as other:
        for _ in range(ROUNDS):
            await one.create("staff", SPACE)
            await asyncio.gather(other.create("staff", SPACE), one.drop("staff"))
            listed = [info.name for info in await one.list()]
            try:
                await one.info("staff")
            except UnknownGalleryError:
                assert listed == []
            else:
                assert listed == ["staff"]


async def test_creations_and_drops_at_once_leave_neither_indexes_nor_places_taken(server: RedisServer) -> None:
    async with RedisStores(server).open() as one, RedisStores(server).open() as other:
        for _ in range(ROUNDS):
            steps = [one.create("staff", SPACE), other.drop("staff"), other.create("staff", SPACE), one.drop("staff")]
            outcomes = await asyncio.gather(*steps, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} <= {bool, type(None), UnknownGalleryError}
        await one.create("staff", SPACE)
        await one.drop("staff")
        assert administer(server, "DBSIZE") == 0
        assert administer(server, "FT._LIST") == []
        assert [await one.create(f"gallery-{i}", SPACE) for i in range(GALLERIES_MAX)] == [True] * GALLERIES_MAX


async def test_a_creation_overtaken_by_a_drop_leaves_no_index(server: RedisServer) -> None:
    async with RedisRelay(server.url) as relay, RedisStores(server).open() as other:
        slow = await RedisGalleries.open(relay.url, faces_max=FACES_MAX, galleries_max=GALLERIES_MAX)
        relay.hold(b"FT.CREATE")
        creating = asyncio.create_task(slow.create("staff", SPACE))
        await relay.reached.wait()
        await other.drop("staff")
        relay.released.set()
        assert await creating is True
        assert administer(server, "DBSIZE") == 0
        assert administer(server, "FT._LIST") == []
        await slow.close()


async def test_a_full_redis_lets_a_gallery_be_dropped(server: RedisServer) -> None:
    async with RedisStores(server).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces_of(10), unit_features(10))
        administer(server, "CONFIG", "SET", "maxmemory", 1)
        await store.drop("staff")
        assert administer(server, "DBSIZE") == 0
