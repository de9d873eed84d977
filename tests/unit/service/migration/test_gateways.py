"""Gateways hear of one another's traffic and work by what changes in the store, each by its own clock."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.errors import GalleryLimitError
from service.galleries.local import LocalGalleries
from service.migration.gateways import HEARD_S, KEY, TELL_S
from tests.unit.service.migration.gateways import Clock, Gateway

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalGalleries]:
    """The store that they share."""
    store = LocalGalleries.open(tmp_path, faces_max=1, galleries_max=1)
    yield store
    await store.close()


@pytest.fixture
def busy(store: LocalGalleries) -> Gateway:
    """One that serves clients, whose clock is far from the other's."""
    return Gateway(store, Clock(-1e6))


@pytest.fixture
def idle(store: LocalGalleries) -> Gateway:
    """One that no client asks anything."""
    return Gateway(store, Clock())


async def pass_time(seconds: float, *gateways: Gateway) -> None:
    """Let clocks go on, and each gateway tell what there is, then hear what there was."""
    for one in gateways:
        one.clock.now += seconds
    for one in (*gateways, *gateways):
        await one.gateways.tell()


async def test_traffic_of_another_gateway_is_live_until_a_while_after_it_was_last_heard_of(
    busy: Gateway, idle: Gateway
) -> None:
    idle.gateways.fill(has_work=True)
    with busy.traffic.request():
        for _ in range(5):
            await pass_time(TELL_S, idle, busy)
            assert idle.gateways.live
    await idle.gateways.tell()
    idle.clock.now += HEARD_S - 0.01
    assert idle.gateways.live
    idle.clock.now += 0.02
    assert not idle.gateways.live


async def test_who_begins_takes_traffic_for_live_until_it_has_listened_for_a_while(idle: Gateway) -> None:
    assert not idle.gateways.live
    idle.gateways.fill(has_work=True)
    idle.clock.now += HEARD_S - 0.01
    idle.gateways.fill(has_work=True)
    assert idle.gateways.live
    idle.clock.now += 0.02
    assert not idle.gateways.live
    idle.gateways.fill(has_work=False)
    idle.gateways.fill(has_work=True)
    assert idle.gateways.live


async def test_traffic_is_heard_of_before_who_begins_stops_to_take_it_for_live(busy: Gateway, idle: Gateway) -> None:
    with busy.traffic.request():
        idle.gateways.fill(has_work=True)
        await idle.gateways.tell()
        for _ in range(10):  # however late in their turn they look
            for one in (busy, idle):
                one.clock.now += TELL_S
                await one.gateways.tell()
                assert idle.gateways.live


async def test_nothing_is_written_while_nobody_fills(busy: Gateway, idle: Gateway, store: LocalGalleries) -> None:
    with busy.traffic.request():
        await pass_time(TELL_S, busy, idle)
        assert await store.notes() == {}
        idle.gateways.fill(has_work=True)
        await pass_time(TELL_S, idle, busy)
        idle.gateways.fill(has_work=False)
        await pass_time(HEARD_S, idle, busy)
        before = await store.notes()
        await pass_time(TELL_S, idle, busy)
        assert await store.notes() == before


async def test_only_gateways_that_fill_are_counted_and_only_while_they_do(busy: Gateway, idle: Gateway) -> None:
    idle.gateways.fill(has_work=True)
    with busy.traffic.request():
        await pass_time(TELL_S, idle, busy)
        assert idle.gateways.filling == 1
        busy.gateways.fill(has_work=True)
        await pass_time(TELL_S, idle, busy)
        assert (idle.gateways.filling, busy.gateways.filling) == (2, 2)
        busy.gateways.fill(has_work=False)
        await pass_time(HEARD_S, idle, busy)
        assert idle.gateways.filling == 1


async def test_who_is_silent_is_taken_out_of_the_note(busy: Gateway, idle: Gateway, store: LocalGalleries) -> None:
    for one in (busy, idle):
        one.gateways.fill(has_work=True)
    await pass_time(TELL_S, busy, idle)
    both = await store.noted(KEY)
    idle.clock.now += HEARD_S
    await idle.gateways.tell()
    alone = await store.noted(KEY)
    assert (both or "").count("fills:") == 2
    assert (alone or "").count("fills:") == 1


async def test_a_note_of_another_version_of_the_gateway_is_written_anew(
    busy: Gateway, idle: Gateway, store: LocalGalleries
) -> None:
    assert await store.note(KEY, '{"traffic": ["some", "day"]}', None)
    for one in (busy, idle):
        one.gateways.fill(has_work=True)
    await pass_time(TELL_S, busy, idle)
    assert idle.gateways.filling == 2


async def test_what_others_told_is_heard_although_nothing_can_be_told(
    busy: Gateway, idle: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in (busy, idle):
        one.gateways.fill(has_work=True)
    await busy.gateways.tell()

    async def note(key: str, value: str | None, before: str | None) -> bool:
        raise GalleryLimitError("as scripted")

    monkeypatch.setattr(idle.store, "note", note)
    with pytest.raises(GalleryLimitError):
        await idle.gateways.tell()
    assert idle.gateways.filling == 2
