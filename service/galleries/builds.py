"""Approximate searches being built, in the background of requests that do not last as long."""

import asyncio
from functools import partial
from typing import Final

from contract.spaces import FeatureSpace
from service.errors import ConflictError, GalleryUnavailableError, StillBuildingError
from service.galleries.background import WAIT_S, Background, Work
from service.galleries.refusals import APPROXIMATION_REMOVED
from service.galleries.values import Approximation

BUILD_S: Final = 7200.0  # of one build
RETRY_AFTER_S: Final = 5

Key = tuple[str, FeatureSpace]  # a gallery and the space of its copy
Build = Work[Approximation]


class Builds:
    """One build at a time, each once however many ask for it; it goes on when who asked has gone."""

    def __init__(self, wait_s: float = WAIT_S) -> None:
        self._turn = asyncio.Lock()
        self._work = Background[Approximation]("the build of an approximate search", wait_s)

    async def join(self, key: Key, build: Build) -> Approximation:
        """Begin a build or join the one under way.

        Raises:
            StillBuildingError: it takes longer than `wait_s`.
            ConflictError: it was given up.
            What it raises itself.
        """
        task = await self._work.join(key, partial(self._in_turn, build))
        if not task.done():
            raise StillBuildingError("the approximate search is being built", retry_after_s=RETRY_AFTER_S)
        if task.cancelled():
            raise ConflictError(APPROXIMATION_REMOVED)
        return task.result()

    async def give_up(self, key: Key) -> None:
        """End a build if there is one."""
        await self._work.give_up(key)

    async def close(self) -> None:
        """End all builds."""
        await self._work.close()

    async def _in_turn(self, build: Build) -> Approximation:
        async with self._turn:
            try:
                async with asyncio.timeout(BUILD_S):
                    return await build()
            except TimeoutError:
                raise GalleryUnavailableError("the approximate search could not be built in time") from None
