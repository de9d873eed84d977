"""What was dropped, being erased in the background of requests that do not last as long."""

import asyncio
import logging
from collections.abc import Hashable
from functools import partial
from typing import Final

from service.errors import GalleryUnavailableError
from service.galleries.background import WAIT_S, Background, Work

RETRY_S: Final = 5.0  # between two attempts

logger = logging.getLogger(__name__)

Erase = Work[object]


class Erasures:
    """Each once however many ask for it, and again after a failure, until it has succeeded or the store closes."""

    def __init__(self, wait_s: float = WAIT_S, retry_s: float = RETRY_S) -> None:
        self._retry_s = retry_s
        self._work = Background[None]("the erasure of what was dropped", wait_s)

    def begin(self, key: Hashable, erase: Erase) -> None:
        """Erase what nobody waits for."""
        self._work.begin(key, partial(self._until_done, erase))

    async def join(self, key: Hashable, erase: Erase) -> None:
        """Erase, or join who does; return when it is done or has taken `wait_s`: it goes on."""
        task = await self._work.join(key, partial(self._until_done, erase))
        if task.done() and not task.cancelled():
            task.result()

    async def close(self) -> None:
        """End all; what is left is for the next opening of the store."""
        await self._work.close()

    async def _until_done(self, erase: Erase) -> None:
        while True:
            try:
                await erase()
            except GalleryUnavailableError as error:
                logger.warning("what was dropped is not erased yet: %s", error)
                await asyncio.sleep(self._retry_s)
            else:
                return
