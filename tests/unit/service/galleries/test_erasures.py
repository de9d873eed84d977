"""What was dropped is erased behind the answer: each once, and again after a failure, until it is gone."""

import asyncio
import logging

import pytest

from service.errors import GalleryUnavailableError
from service.galleries.erasures import Erasures

KEY = ("staff", "one")
pytestmark = pytest.mark.anyio


class Purge:
    """An erasure that ends when it is let go, after failing so many times."""

    def __init__(self, failures: int = 0) -> None:
        self.times = 0
        self.open = asyncio.Event()
        self.done = asyncio.Event()
        self._failures = failures

    async def erase(self) -> None:
        self.times += 1
        if self.times <= self._failures:
            raise GalleryUnavailableError("as scripted")
        await self.open.wait()
        self.done.set()


async def test_a_short_erasure_is_waited_for() -> None:
    erasures, purge = Erasures(), Purge()
    purge.open.set()
    await erasures.join(KEY, purge.erase)
    assert purge.done.is_set()


async def test_a_long_one_goes_on_behind_the_answer_and_whoever_asks_again_joins_it() -> None:
    erasures, purge = Erasures(wait_s=0.01), Purge()
    for _ in range(2):
        await erasures.join(KEY, purge.erase)
        assert not purge.done.is_set()
    purge.open.set()
    await erasures.join(KEY, purge.erase)
    assert (purge.times, purge.done.is_set()) == (1, True)


async def test_it_goes_on_when_who_asked_has_gone() -> None:
    erasures, purge = Erasures(), Purge()
    asking = asyncio.create_task(erasures.join(KEY, purge.erase))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    purge.open.set()
    await purge.done.wait()


async def test_a_store_that_is_away_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    erasures, purge = Erasures(retry_s=0.001), Purge(failures=2)
    purge.open.set()
    with caplog.at_level(logging.WARNING):
        await erasures.join(KEY, purge.erase)
    assert purge.done.is_set()
    assert len(caplog.records) == 2


async def test_an_unforeseen_failure_is_logged_and_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def erase() -> None:
        raise ValueError("a secret")

    with caplog.at_level(logging.WARNING), pytest.raises(ValueError, match="secret"):
        await Erasures().join(KEY, erase)
    assert ["secret" in record.getMessage() for record in caplog.records] == [False]


async def test_closing_ends_all_of_them() -> None:
    erasures, purges, others = Erasures(wait_s=0.01), [Purge(), Purge(failures=1_000_000)], asyncio.all_tasks()
    for place, purge in enumerate(purges):
        await erasures.join(("staff", place), purge.erase)
    assert len(asyncio.all_tasks() - others) == 2  # one is under way, one waits to try again
    await erasures.close()
    assert asyncio.all_tasks() == others
    await erasures.close()
    assert not any(purge.done.is_set() for purge in purges)
