"""Builds in the background: each once, one at a time, with or without somebody waiting."""

import asyncio
import logging

import pytest

from contract.spaces import FeatureSpace
from service.errors import ConflictError, GalleryTooSmallError, StillBuildingError
from service.galleries.builds import Builds
from service.galleries.values import Approximation

MEASURED = Approximation(0, 1000, 1000, 1.0, 0.9)
KEY = ("staff", FeatureSpace(id="space", dim=2))
pytestmark = pytest.mark.anyio


class Gate:
    """A build that ends when it is let go."""

    def __init__(self, error: Exception | None = None) -> None:
        self.times = 0
        self.begun = asyncio.Event()
        self.open = asyncio.Event()
        self._error = error

    async def build(self) -> Approximation:
        self.times += 1
        self.begun.set()
        await self.open.wait()
        if self._error is not None:
            raise self._error
        return MEASURED


async def test_whoever_asks_meanwhile_joins_the_same_build() -> None:
    builds, gate = Builds(), Gate()
    asking = [asyncio.create_task(builds.join(KEY, gate.build)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.open.set()
    assert await asyncio.gather(*asking) == [MEASURED] * 3
    assert gate.times == 1


async def test_a_build_goes_on_when_its_callers_have_gone_and_the_next_joins_it() -> None:
    builds, gate = Builds(wait_s=0.01), Gate()
    for _ in range(2):
        with pytest.raises(StillBuildingError) as still:
            await builds.join(KEY, gate.build)
        assert still.value.retry_after_s
    patient = asyncio.create_task(builds.join(KEY, gate.build))
    await asyncio.sleep(0)
    patient.cancel()
    await asyncio.wait([patient])
    gate.open.set()
    assert await builds.join(KEY, gate.build) == MEASURED
    assert gate.times == 1


async def test_one_build_waits_for_another() -> None:
    builds, first, second = Builds(), Gate(), Gate()
    asking = [
        asyncio.create_task(builds.join(key, gate.build)) for key, gate in ((KEY, first), (("other", KEY[1]), second))
    ]
    await first.begun.wait()
    assert not second.begun.is_set()
    second.open.set()
    first.open.set()
    assert await asyncio.gather(*asking) == [MEASURED] * 2


async def test_who_waits_is_told_that_a_build_was_given_up() -> None:
    builds, gate = Builds(), Gate()
    asking = asyncio.create_task(builds.join(KEY, gate.build))
    await gate.begun.wait()
    await builds.give_up(KEY)
    with pytest.raises(ConflictError, match="removed"):
        await asking
    await builds.give_up(KEY)


@pytest.mark.parametrize("error", [GalleryTooSmallError("too small"), ValueError("a secret")])
async def test_a_build_that_fails_is_logged_and_begun_anew(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    builds, gate = Builds(wait_s=0.01), Gate(error)
    with pytest.raises(StillBuildingError):
        await builds.join(KEY, gate.build)
    with caplog.at_level(logging.WARNING):
        gate.open.set()
        with pytest.raises(type(error)):
            await builds.join(KEY, gate.build)
    assert len(caplog.records) == 1
    assert "secret" not in caplog.records[0].getMessage()
    with pytest.raises(type(error)):
        await builds.join(KEY, gate.build)
    assert gate.times == 2


async def test_closing_ends_all_builds() -> None:
    builds, gate, others = Builds(wait_s=0.01), Gate(), asyncio.all_tasks()
    for name in ("staff", "other"):
        with pytest.raises(StillBuildingError):
            await builds.join((name, KEY[1]), gate.build)
    assert len(asyncio.all_tasks() - others) == 2  # one is under way, one waits for its turn
    await builds.close()
    assert asyncio.all_tasks() == others
    await builds.close()
