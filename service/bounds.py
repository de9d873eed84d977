"""The two bounds every request meets: how much may be under way at once, shared out among callers, and until when."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import Gauge

from service.callers import CALLER
from service.errors import RETRY_AFTER_S, DeadlineExceededError, OverloadedError

# A caller is reckoned with for so long after its last attempt: of those that are there, none may take all.
PRESENT_S = 60.0
# Of what it leaves free, a caller may hold so many times as much: one beside idle others eight ninths of all, two busy
# ones eight seventeenths each. Something is free for who comes next, but where one request takes nearly all.
FREE_SHARES = 8


class InFlight:
    """Work under way, never more than `limit`; what does not fit is refused at once and never waits.

    Where several callers are there, each has its bound by what is free: dynamic thresholds, after Choudhury and Hahne,
    "Dynamic queue length thresholds for shared-memory packet switches" (1998).
    """

    def __init__(self, limit: int, what: str, gauge: Gauge, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._what = what
        self._gauge = gauge
        self._clock = clock
        self._held_by: Counter[str | None] = Counter()
        self._present: dict[str | None, float] = {}  # when each caller came last, the latest last; as many as keys

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Take `amount` for the length of the block, in the name of the caller.

        Raises:
            OverloadedError: it does not fit now, or the caller holds its share.
        """
        caller = CALLER.get()
        self._arrive(caller)
        free, its_own = self._limit - self._held_by.total(), self._held_by[caller]
        if amount > free:
            raise OverloadedError(f"{self._limit} {self._what} are in flight at most", retry_after_s=RETRY_AFTER_S)
        if its_own and its_own + amount > FREE_SHARES * (free - amount) and len(self._present) > 1:
            raise OverloadedError(f"others may have {self._what} in flight, too", retry_after_s=RETRY_AFTER_S)
        self._take(caller, amount)
        try:
            yield
        finally:
            self._take(caller, -amount)

    def held_by(self, caller: str | None) -> int:
        """What a caller holds."""
        return self._held_by[caller]

    def _take(self, caller: str | None, amount: int) -> None:
        self._held_by[caller] += amount
        if not self._held_by[caller]:
            del self._held_by[caller]
        self._gauge.set(self._held_by.total())

    def _arrive(self, caller: str | None) -> None:
        """Note that a caller is there, and forget those that were not for long."""
        now = self._clock()
        self._present.pop(caller, None)
        self._present[caller] = now
        while now - self._present[first := next(iter(self._present))] > PRESENT_S:
            del self._present[first]


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment, on the monotonic clock in seconds, at which a request has taken too long."""

    at: float

    def remaining_ms(self) -> int:
        """Whole milliseconds left, at least 1.

        Raises:
            DeadlineExceededError: none are left.
        """
        remaining_ms = int((self.at - time.monotonic()) * 1000)
        if remaining_ms < 1:
            raise DeadlineExceededError("the request's deadline passed")
        return remaining_ms
