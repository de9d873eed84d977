"""The two bounds every request meets: how much may be under way at once, and until when."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import Gauge

from service.errors import DeadlineExceededError, OverloadedError

RETRY_AFTER_S = 1


class InFlight:
    """Work under way, never more than `limit`; what does not fit is refused at once and never waits."""

    def __init__(self, limit: int, what: str, gauge: Gauge) -> None:
        self._limit = limit
        self._what = what
        self._gauge = gauge
        self._held = 0

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Take `amount` for the length of the block.

        Raises:
            OverloadedError: it does not fit now.
        """
        if self._held + amount > self._limit:
            raise OverloadedError(f"{self._limit} {self._what} are in flight at most", retry_after_s=RETRY_AFTER_S)
        self._held += amount
        self._gauge.set(self._held)
        try:
            yield
        finally:
            self._held -= amount
            self._gauge.set(self._held)


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
