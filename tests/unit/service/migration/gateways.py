"""Gateways on one store, without anything but what they tell one another."""

from service.galleries.base import GalleryStore
from service.migration.gateways import Gateways
from service.migration.traffic import LiveTraffic


class Clock:
    """A clock that only work and rest move on."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now
        self.rests: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Rest."""
        self.rests.append(seconds)
        self.now += seconds


class Gateway:
    """One of them."""

    def __init__(self, store: GalleryStore, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.traffic = LiveTraffic(clock)
        self.gateways = Gateways(store, self.traffic, clock)
