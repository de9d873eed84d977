"""Approximate search in Redis where its index is not what the record says: exact, and mended by the next request."""

import asyncio

import pytest

from deploy.redis.start import RedisServer
from service.errors import ConflictError, GalleryUnavailableError
from service.galleries import redis_approximation
from service.galleries.base import GalleryStore
from service.galleries.redis_commands import RedisCommands
from service.galleries.redis_index import complete_index
from tests.integration.gallery_stores import (
    SPACE,
    RedisStores,
    administer,
    approximated,
    faces_of,
    native,
    unit_features,
)

ROWS = 1000
PROBES = unit_features(5, seed=1)
pytestmark = pytest.mark.anyio


async def enrol(store: GalleryStore) -> None:
    await store.create("staff", SPACE)
    await store.upsert("staff", faces_of(ROWS), native(unit_features(ROWS)))


async def is_exact(store: GalleryStore) -> bool:
    return (await store.search("staff", SPACE, PROBES, 3, exact=False)).exact


def indexes(own_redis: RedisServer) -> list[str]:
    """What kinds of index there are."""
    listed: list[bytes] = administer(own_redis, "FT._LIST")  # type: ignore[assignment] # a list
    return sorted(name.decode().split(":")[-2] for name in listed)


async def test_without_its_index_searches_are_exact_until_it_is_built_again(own_redis: RedisServer) -> None:
    async with RedisStores(own_redis).open() as store:
        await enrol(store)
        await approximated(store)
        for name in administer(own_redis, "FT._LIST"):  # type: ignore[attr-defined] # a list
            administer(own_redis, "FT.DROPINDEX", name)
        assert await is_exact(store)
        await approximated(store)
        assert not await is_exact(store)


async def test_a_killed_redis_keeps_it(own_redis: RedisServer) -> None:
    async with RedisStores(own_redis).open() as store:
        await enrol(store)
        measured = await approximated(store)
        await asyncio.to_thread(own_redis.kill)
        with pytest.raises(GalleryUnavailableError):
            await approximated(store)
        await asyncio.to_thread(own_redis.start)
        exact = await store.search("staff", SPACE, PROBES, 3)
        assert (await store.search("staff", SPACE, PROBES, 3, exact=False)).matches == exact.matches
        async with asyncio.timeout(60):
            while await is_exact(store):  # until Redis has made the graph anew
                pass
        assert await approximated(store) == measured


async def test_all_gateways_search_by_what_one_has_built(own_redis: RedisServer) -> None:
    async with RedisStores(own_redis).open() as store, RedisStores(own_redis).open() as other:
        await enrol(store)
        answers = await asyncio.gather(*(approximated(one) for one in (store, other)))
        assert {(a.faces, a.probes) for a in answers} == {(ROWS, ROWS)}
        assert not await is_exact(store)
        assert not await is_exact(other)
        await other.exactly("staff", SPACE)
        assert await is_exact(store)
        assert indexes(own_redis) == ["index"]


async def test_one_gateway_removes_what_another_is_building(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RedisStores(own_redis).open() as store, RedisStores(own_redis).open() as other:

        async def complete_and_be_removed(redis: RedisCommands, *what: object, **which: object) -> None:
            await complete_index(redis, *what, **which)  # type: ignore[arg-type] # passed on as they came
            await other.exactly("staff", SPACE)

        await enrol(store)
        monkeypatch.setattr(redis_approximation, "complete_index", complete_and_be_removed)
        with pytest.raises((ConflictError, GalleryUnavailableError)):
            await approximated(store)
        assert (await store.info("staff")).copies[0].approximation is None
        assert await is_exact(store)
        assert indexes(own_redis) == ["index"]


async def test_a_build_that_was_cut_off_is_taken_up_and_leaves_nothing_when_removed(own_redis: RedisServer) -> None:
    async with RedisStores(own_redis).open() as store:
        await enrol(store)
        asking = asyncio.create_task(store.approximate("staff", SPACE))
        while "neighbours" not in indexes(own_redis):
            await store.info("staff")
        asking.cancel()
        await asyncio.wait([asking])
    async with RedisStores(own_redis).open() as store:
        assert await is_exact(store)
        assert (await approximated(store)).probes == ROWS
        assert not await is_exact(store)
        await store.drop("staff")
        assert administer(own_redis, "DBSIZE") == 0
        assert indexes(own_redis) == []
