"""Approximate searches being built, in the background of requests that do not last as long."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from contract.spaces import FeatureSpace
from service.errors import ConflictError, GalleryUnavailableError, GatewayError, StillBuildingError
from service.galleries.values import Approximation

WAIT_S: Final = 5.0  # of one call for a build
BUILD_S: Final = 7200.0  # of one build
RETRY_AFTER_S: Final = 5

logger = logging.getLogger(__name__)

Key = tuple[str, FeatureSpace]  # a gallery and the space of its copy
Build = Callable[[], Coroutine[Any, Any, Approximation]]


class Builds:
    """One build at a time, each once however many ask for it; it goes on when who asked has gone."""

    def __init__(self, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._turn = asyncio.Lock()
        self._tasks: dict[Key, asyncio.Task[Approximation]] = {}

    async def join(self, key: Key, build: Build) -> Approximation:
        """Begin a build or join the one under way.

        Raises:
            StillBuildingError: it takes longer than `wait_s`.
            ConflictError: it was given up.
            What it raises itself.
        """
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(self._in_turn(build))
            self._tasks[key] = task
            task.add_done_callback(partial(self._finish, key))
        await asyncio.wait([task], timeout=self._wait_s)
        if not task.done():
            raise StillBuildingError("the approximate search is being built", retry_after_s=RETRY_AFTER_S)
        if task.cancelled():
            raise ConflictError("the approximate search was removed while it was being built")
        return task.result()

    async def give_up(self, key: Key) -> None:
        """End a build if there is one."""
        task = self._tasks.get(key)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def close(self) -> None:
        """End all builds."""
        for key in [*self._tasks]:
            await self.give_up(key)

    async def _in_turn(self, build: Build) -> Approximation:
        async with self._turn:
            try:
                async with asyncio.timeout(BUILD_S):
                    return await build()
            except TimeoutError:
                raise GalleryUnavailableError("the approximate search could not be built in time") from None

    def _finish(self, key: Key, task: asyncio.Task[Approximation]) -> None:
        del self._tasks[key]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, GatewayError):
            logger.warning("an approximate search was not built: %s", type(error).__name__)
        elif error is not None:
            logger.error("unforeseen failure to build an approximate search", exc_info=error)
