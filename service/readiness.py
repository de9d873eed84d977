"""Whether the gateway would serve: asked by probes without a key, so the answer is kept for a moment."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.engines.base import Engine
from service.galleries.base import GalleryStore
from service.live_catalog import LiveCatalog

KEPT_S = 1.0
TIMEOUT_S = 3.0  # a part that does not say by then that it is ready is not


@dataclass(frozen=True, slots=True)
class Readiness:
    """What is ready: a translator to serve, the engine, the gallery store."""

    catalog: bool
    engine: bool
    galleries: bool

    @property
    def ready(self) -> bool:
        """Whether all are."""
        return self.catalog and self.engine and self.galleries


class ReadinessCheck:
    """Asks the parts at most once a second, however often it is asked itself."""

    def __init__(
        self,
        catalog: LiveCatalog,
        engine: Engine,
        galleries: GalleryStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._engine = engine
        self._galleries = galleries
        self._clock = clock
        self._lock = asyncio.Lock()
        self._last: tuple[float, Readiness] | None = None

    async def now(self) -> Readiness:
        """The state of at most one second ago."""
        async with self._lock:
            if self._last is None or self._clock() - self._last[0] >= KEPT_S:
                engine, galleries = await asyncio.gather(
                    _in_time(self._engine.ready()), _in_time(self._galleries.ready())
                )
                state = Readiness(bool(self._catalog.current.translators), engine, galleries)
                self._last = self._clock(), state
            return self._last[1]


async def _in_time(ready: Awaitable[bool]) -> bool:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await ready
    except TimeoutError:
        return False
