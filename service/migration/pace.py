"""How fast the worker may go: as fast as it can while nobody asks, a share of the time while somebody does."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from service.migration.gateways import Gateways
from service.migration.traffic import Clock

# A live request waits behind at most one claim in engine and store, so claims are small while there are any; those that
# were begun before are finished as they are.
LIVE_FACES_MAX: Final = 64
BACK_OFF_FIRST_S: Final = 0.2
BACK_OFF_MAX_S: Final = 10.0

Sleep = Callable[[float], Awaitable[None]]


class Pace:
    """Turns of work. While traffic is live, wherever, there is one at a time here, and a rest keeps it to its share.

    The share is of all gateways that fill together: each takes an equal part of it.
    """

    def __init__(
        self, gateways: Gateways, share: float, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._gateways = gateways
        self._share = share
        self._clock = clock
        self._sleep = sleep
        self._alone = asyncio.Lock()

    def looked(self, *, has_work: bool) -> None:
        """The worker has looked for work."""
        self._gateways.fill(has_work)

    def faces(self, batch_faces: int) -> int:
        """How many faces to claim at once now."""
        return min(batch_faces, LIVE_FACES_MAX) if self._gateways.live else batch_faces

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One piece of work."""
        if not self._gateways.live:
            yield
            return
        async with self._alone:
            started = self._clock()
            yield
            share = self._share / self._gateways.filling
            await self._sleep((self._clock() - started) * (1 - share) / share)


class BackOff:
    """Waits that double from one to the next, up to a bound."""

    def __init__(self) -> None:
        self._next_s = BACK_OFF_FIRST_S

    def next_s(self) -> float:
        """Seconds to wait now."""
        delay_s, self._next_s = self._next_s, min(2 * self._next_s, BACK_OFF_MAX_S)
        return delay_s

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._next_s = BACK_OFF_FIRST_S
