"""Gateways on one store: while one fills a gallery, each tells the others whether it does too, or serves clients.

No clock is compared with another's. Each gateway puts a new number beside its name in a note of the store, and who sees
it change has heard of it now, by its own monotonic clock.
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from service.errors import GatewayError
from service.galleries.base import GalleryStore
from service.migration.traffic import LIVE_S, Clock, LiveTraffic

logger = logging.getLogger(__name__)

KEY: Final = "gateways"
TELL_S: Final = LIVE_S  # between two tellings, so that each request is live at one
HEARD_S: Final = 3.0  # what was heard holds so long, and who has not listened for so long takes traffic for live
TRIES_MAX: Final = 8  # of a telling, each lost to somebody who was faster; the next telling is soon
NAME_BYTES: Final = 8
FILLS: Final = "fills:"  # and the name of a gateway
SERVES: Final = "serves:"  # clients, and the name of a gateway

_TOLD: Final = TypeAdapter(dict[str, int])


@dataclass(frozen=True, slots=True)
class _Heard:
    number: int
    at_s: float


class Gateways:
    """What this process knows of all that share its store, itself among them. For one event loop."""

    def __init__(self, store: GalleryStore, traffic: LiveTraffic, clock: Clock = time.monotonic) -> None:
        self._store = store
        self._traffic = traffic
        self._clock = clock
        self._name = secrets.token_hex(NAME_BYTES)
        self._number = 0
        self._heard: dict[str, _Heard] = {}  # of others
        self._fills_since_s: float | None = None
        self._has_begun = asyncio.Event()

    def fill(self, has_work: bool) -> None:
        """From now on this process fills galleries; without work it does not."""
        if not has_work:
            self._fills_since_s = None
        elif self._fills_since_s is None:
            self._fills_since_s = self._clock()
            self._has_begun.set()

    @property
    def live(self) -> bool:
        """Whether any serves clients, or this one fills and has not listened for long enough to know."""
        since_s = self._fills_since_s
        knows = since_s is None or self._clock() - since_s >= HEARD_S
        return self._traffic.live or not knows or self._lately(SERVES) > 0

    @property
    def filling(self) -> int:
        """How many fill galleries, this one included."""
        return 1 + self._lately(FILLS)

    async def run(self) -> None:
        """Tell and hear, for ever."""
        while True:
            try:
                await self.tell()
            except GatewayError as error:  # the worker warns of a store that cannot be reached
                logger.debug("gateways do not hear of one another: %s", type(error).__name__)
            except Exception:
                logger.exception("unforeseen failure of what gateways tell one another")
            with suppress(TimeoutError):
                async with asyncio.timeout(TELL_S):
                    await self._has_begun.wait()
            self._has_begun.clear()

    async def tell(self) -> None:
        """Hear what others have told, and tell them what there is to tell; mostly nothing.

        Raises:
            GalleryLimitError, GalleryUnavailableError.
        """
        for _ in range(TRIES_MAX):
            text = await self._store.noted(KEY)
            told = _parse(text)
            self._hear(told)
            mine = list(self._signals())
            if not mine:
                return
            self._number += 1
            kept = {signal: told[signal] for signal in self._heard if not self._is_late(signal)}
            if await self._store.note(KEY, json.dumps(kept | dict.fromkeys(mine, self._number)), text):
                return

    def _signals(self) -> Iterator[str]:
        fills = self._fills_since_s is not None
        if fills:
            yield FILLS + self._name
        if self._traffic.live and (fills or self._lately(FILLS)):
            yield SERVES + self._name

    def _hear(self, told: dict[str, int]) -> None:
        before, now_s = self._heard, self._clock()
        self._heard = {
            signal: before[signal] if signal in before and before[signal].number == number else _Heard(number, now_s)
            for signal, number in told.items()
            if not signal.endswith(self._name)
        }

    def _lately(self, kind: str) -> int:
        return sum(signal.startswith(kind) and not self._is_late(signal) for signal in self._heard)

    def _is_late(self, signal: str) -> bool:
        return self._clock() - self._heard[signal].at_s >= HEARD_S


def _parse(text: str | None) -> dict[str, int]:
    if text is None:
        return {}
    try:
        return _TOLD.validate_json(text)
    except ValidationError:  # told by another version of the gateway
        return {}
