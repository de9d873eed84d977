"""What the engine would only refuse is kept out for a moment, before its body is read."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from service.errors import RETRY_AFTER_S, OverloadedError

SHUT_S: Final = 1.0  # after a refusal of the engine; then it is asked again


@dataclass(frozen=True, slots=True)
class _Refused:
    """A caller's latest refusal by the engine."""

    in_flight: int  # requests that the caller had beside it
    body_bytes: int
    until_s: float


class Door:
    """Remembers for each caller how many of its requests were in flight when the engine refused one more.

    To be read, parsed and then refused costs as much as to be let in: under overload the refused would take the
    processor from the others. A request no smaller than the one that was refused meets the same bound at the door.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: dict[str | None, _Refused] = {}  # as many as keys

    def pass_through(self, caller: str | None, in_flight: int, body_bytes: int) -> None:
        """Let in a request of a caller that has so many in flight. Raises OverloadedError."""
        if (refused := self._refused.get(caller)) is None:
            return
        if self._clock() >= refused.until_s:
            del self._refused[caller]
        elif in_flight >= refused.in_flight and body_bytes >= refused.body_bytes:
            raise OverloadedError("the engine is behind with earlier requests", retry_after_s=RETRY_AFTER_S)

    def shut(self, caller: str | None, in_flight: int, body_bytes: int) -> None:
        """The engine has refused a request of a caller that has so many others in flight."""
        self._refused[caller] = _Refused(max(1, in_flight), body_bytes, self._clock() + SHUT_S)
