"""Work of a store that goes on when who asked for it has gone."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Final, Generic, TypeVar

from service.errors import GatewayError

TIMEOUT_MS: Final = 10_000  # of an operation of a store
WAIT_S: Final = 5.0  # of one call for work in the background

logger = logging.getLogger(__name__)

R = TypeVar("R")
Work = Callable[[], Coroutine[Any, Any, R]]


class Background(Generic[R]):
    """Pieces of work by their keys, each under way once however many ask for it."""

    def __init__(self, what: str, wait_s: float) -> None:
        """`what` is done, for the log; a call waits for `wait_s`."""
        self._what = what
        self._wait_s = wait_s
        self._tasks: dict[Hashable, asyncio.Task[R]] = {}

    def begin(self, key: Hashable, work: Work[R]) -> "asyncio.Task[R]":
        """Begin work, or return what is under way."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(work())
            self._tasks[key] = task
            task.add_done_callback(partial(self._finish, key))
        return task

    async def join(self, key: Hashable, work: Work[R]) -> "asyncio.Task[R]":
        """Begin work or join it, and return when it has ended or taken longer than a call waits."""
        task = self.begin(key, work)
        await asyncio.wait([task], timeout=self._wait_s)
        return task

    async def give_up(self, key: Hashable) -> None:
        """End work if it is under way."""
        await self._end([self._tasks[key]] if key in self._tasks else [])

    async def close(self) -> None:
        """End all work."""
        await self._end([*self._tasks.values()])

    async def _end(self, tasks: "list[asyncio.Task[R]]") -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _finish(self, key: Hashable, task: "asyncio.Task[R]") -> None:
        del self._tasks[key]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, GatewayError):
            logger.warning("%s failed: %s", self._what, type(error).__name__)
        elif error is not None:
            logger.error("unforeseen failure of %s", self._what, exc_info=error)


def wait_s_within(timeout_ms: int) -> float:
    """How long a call that may take so long waits for work in the background."""
    return min(WAIT_S, timeout_ms / 2000)
