"""Whether this process serves requests of clients."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

LIVE_S: Final = 1.0  # traffic is live this long after its last request

Clock = Callable[[], float]


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
