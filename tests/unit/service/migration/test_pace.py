"""The worker goes at full speed alone, and takes its share beside live traffic."""

import asyncio

import pytest

from service.migration.pace import BACK_OFF_FIRST_S, BACK_OFF_MAX_S, LIVE_FACES_MAX, LIVE_S, BackOff, LiveTraffic, Pace


class Clock:
    """A clock that only work and rest move on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.rests: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Rest."""
        self.rests.append(seconds)
        self.now += seconds


def test_traffic_is_live_while_a_request_is_served_and_a_moment_longer() -> None:
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
def test_beside_live_traffic_each_turn_is_followed_by_a_rest(share: float, rest_s: float) -> None:
    clock = Clock()
    traffic = LiveTraffic(clock)
    pace = Pace(traffic, share, clock, clock.sleep)

    async def work() -> None:
        async with pace.turn():
            clock.now += 2.0

    with traffic.request():
        asyncio.run(work())
    assert clock.rests == [pytest.approx(rest_s)]


def test_beside_live_traffic_one_works_at_a_time_and_claims_little() -> None:
    traffic = LiveTraffic()
    pace = Pace(traffic, 1.0)
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

    asyncio.run(work_together())
    assert max(at_once) == 4
    assert pace.faces(512) == 512
    at_once.clear()
    with traffic.request():
        asyncio.run(work_together())
        assert pace.faces(512) == LIVE_FACES_MAX
        assert pace.faces(8) == 8
    assert max(at_once) == 1


def test_waits_double_up_to_a_bound_and_begin_anew_after_a_success() -> None:
    back_off = BackOff()
    waits = [back_off.next_s() for _ in range(20)]
    assert waits[:3] == [BACK_OFF_FIRST_S, 2 * BACK_OFF_FIRST_S, 4 * BACK_OFF_FIRST_S]
    assert waits[-1] == BACK_OFF_MAX_S
    back_off.reset()
    assert back_off.next_s() == BACK_OFF_FIRST_S
