"""The worker goes at full speed alone, and takes its share beside live traffic."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.galleries.local import LocalGalleries
from service.migration.gateways import HEARD_S
from service.migration.pace import BACK_OFF_FIRST_S, BACK_OFF_MAX_S, LIVE_FACES_MAX, BackOff, Pace
from service.migration.traffic import LIVE_S, LiveTraffic
from tests.unit.service.migration.gateways import Clock, Gateway

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """The only gateway on a store."""
    store = LocalGalleries.open(tmp_path, faces_max=1, galleries_max=1)
    yield Gateway(store, Clock())
    await store.close()


async def test_traffic_is_live_while_a_request_is_served_and_a_moment_longer() -> None:
    clock = Clock()
    traffic = LiveTraffic(clock)
    assert not traffic.live
    with traffic.request():
        clock.now += 10 * LIVE_S
        assert traffic.live
    assert traffic.live
    clock.now += LIVE_S
    assert not traffic.live


@pytest.mark.parametrize(("share", "rest_s"), [(0.5, 2.0), (0.25, 6.0), (1.0, 0.0)])
async def test_beside_live_traffic_each_turn_is_followed_by_a_rest(
    gateway: Gateway, share: float, rest_s: float
) -> None:
    with gateway.traffic.request():
        assert await rest_after(gateway, share) == pytest.approx(rest_s)


async def test_gateways_that_fill_together_take_equal_parts_of_the_share(gateway: Gateway) -> None:
    others = [Gateway(gateway.store, gateway.clock) for _ in range(3)]
    for one in (gateway, *others):
        one.gateways.fill(has_work=True)
    for one in (*others, gateway):
        await one.gateways.tell()
    with gateway.traffic.request():
        assert await rest_after(gateway, 0.5) == pytest.approx(2.0 * 7)  # an eighth of the time
    gateway.clock.now += HEARD_S
    for one in (others[0], gateway):
        await one.gateways.tell()
    with gateway.traffic.request():
        assert await rest_after(gateway, 0.5) == pytest.approx(2.0 * 3)


async def rest_after(gateway: Gateway, share: float) -> float:
    """How long the worker of a gateway rests after a turn of two seconds."""
    clock = gateway.clock
    async with Pace(gateway.gateways, share, clock, clock.sleep).turn():
        clock.now += 2.0
    return clock.rests[-1]


async def test_beside_live_traffic_one_works_at_a_time_and_claims_little(gateway: Gateway) -> None:
    pace = Pace(gateway.gateways, 1.0)
    at_once: list[int] = []
    working = 0

    async def work() -> None:
        nonlocal working
        async with pace.turn():
            working += 1
            at_once.append(working)
            await asyncio.sleep(0)
            working -= 1

    async def work_together() -> None:
        await asyncio.gather(*(work() for _ in range(4)))

    await work_together()
    assert max(at_once) == 4
    assert pace.faces(512) == 512
    at_once.clear()
    with gateway.traffic.request():
        await work_together()
        assert pace.faces(512) == LIVE_FACES_MAX
        assert pace.faces(8) == 8
    assert max(at_once) == 1


async def test_waits_double_up_to_a_bound_and_begin_anew_after_a_success() -> None:
    back_off = BackOff()
    waits = [back_off.next_s() for _ in range(20)]
    assert waits[:3] == [BACK_OFF_FIRST_S, 2 * BACK_OFF_FIRST_S, 4 * BACK_OFF_FIRST_S]
    assert waits[-1] == BACK_OFF_MAX_S
    back_off.reset()
    assert back_off.next_s() == BACK_OFF_FIRST_S
