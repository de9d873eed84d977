"""How fast the worker may go: as fast as it can while nobody asks, a share of the time while somebody does."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

LIVE_S: Final = 1.0  # traffic is live this long after its last request
# A live request waits behind at most one claim in engine and store, so claims are small while there are any; those that
# were begun before are finished as they are.
LIVE_FACES_MAX: Final = 64
BACK_OFF_FIRST_S: Final = 0.2
BACK_OFF_MAX_S: Final = 10.0

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


class LiveTraffic:
    """Whether requests of clients are being served, or were a moment ago."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._under_way = 0
        self._last_s = float("-inf")

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request, for the length of the block."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._last_s = self._clock()

    @property
    def live(self) -> bool:
        """Whether there is any."""
        return self._under_way > 0 or self._clock() - self._last_s < LIVE_S


class Pace:
    """Turns of work. While traffic is live there is one at a time, followed by a rest that keeps it to its share."""

    def __init__(
        self, traffic: LiveTraffic, share: float, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._traffic = traffic
        self._share = share
        self._clock = clock
        self._sleep = sleep
        self._alone = asyncio.Lock()

    def faces(self, batch_faces: int) -> int:
        """How many faces to claim at once now."""
        return min(batch_faces, LIVE_FACES_MAX) if self._traffic.live else batch_faces

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One piece of work."""
        if not self._traffic.live:
            yield
            return
        async with self._alone:
            started = self._clock()
            yield
            await self._sleep((self._clock() - started) * (1 - self._share) / self._share)


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
