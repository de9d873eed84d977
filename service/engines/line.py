"""What waits for an engine: requests of several callers, who take turns by rows."""

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from contract.manifest import TranslatorManifest
from contract.vectors import Features

# A call is to take this long at most, since whoever comes next waits for its end; as long as a call has
# this many rows, by which its own cost is small.
CALL_S = 0.05
CALL_ROWS_MIN = 64
FORGETTING = 0.8  # of what earlier calls took, at each call


@dataclass(slots=True)
class Request:
    """A request in the line, until all its rows are answered or nobody wants them any more."""

    features: Features  # [N, ds]
    since_s: float  # monotonic, as until_s
    until_s: float
    answer: asyncio.Future[Features]  # [N, dt]
    rows_taken: int = 0
    _rows_answered: int = 0
    _translated: Features | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for the rest."""
        return not self.answer.done()

    @property
    def rows_left(self) -> int:
        """Rows that no call has taken."""
        return len(self.features) - self.rows_taken

    def deliver(self, start: int, translated: Features) -> None:
        """Take the answers to rows from `start` on; with the last of them the request is answered."""
        if not self.is_wanted:
            return
        if len(translated) == len(self.features):
            self.answer.set_result(translated)
            return
        if self._translated is None:
            self._translated = np.empty((len(self.features), translated.shape[1]), dtype=translated.dtype)
        self._translated[start : start + len(translated)] = translated
        self._rows_answered += len(translated)
        if self._rows_answered == len(self.features):
            self.answer.set_result(self._translated)

    def fail(self, error: Exception) -> None:
        """End it with an error."""
        if self.is_wanted:
            self.answer.set_exception(error)


class Piece(NamedTuple):
    """Rows of one request in one call."""

    request: Request
    start: int
    features: Features  # [n, ds]


@dataclass(slots=True)
class Line:
    """What one translator version has to do. A caller's requests are served in the order of their arrival."""

    manifest: TranslatorManifest
    rows_max: int  # of a call
    calls: int = 0  # under way
    rows: int = 0  # of them
    _lately_s: float = 0.0  # that calls took
    _lately_rows: float = 0.0  # that they had
    _callers: dict[str | None, deque[Request]] = field(default_factory=dict)  # the next to be served first

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits."""
        return not self._callers

    @property
    def call_rows_max(self) -> int:
        """Rows that a call may have now, by what calls took lately."""
        if self._lately_rows * CALL_S >= self.rows_max * self._lately_s:
            return self.rows_max
        return min(self.rows_max, max(CALL_ROWS_MIN, int(self._lately_rows * CALL_S / self._lately_s)))

    def add(self, caller: str | None, request: Request) -> None:
        """Let a request wait for its turn."""
        self._callers.setdefault(caller, deque()).append(request)

    def waited_s(self, caller: str | None, now_s: float) -> float:
        """How long the caller's first request has waited of which no call has taken a row."""
        first = next((r for r in self._callers.get(caller, ()) if r.rows_taken == 0 and r.is_wanted), None)
        return 0.0 if first is None else now_s - first.since_s

    def begin(self, rows: int) -> None:
        """A call is under way."""
        self.calls += 1
        self.rows += rows

    def end(self, rows: int, seconds: float) -> None:
        """It is not any more."""
        self.calls -= 1
        self.rows -= rows
        # Wide calls count for more: what narrow ones take is mostly their own cost, whatever their rows.
        self._lately_s = FORGETTING * self._lately_s + seconds
        self._lately_rows = FORGETTING * self._lately_rows + rows

    def take(self, calls_at_once: int) -> list[Piece]:
        """What goes into the next call: as much of each caller as of any other, as far as they have it."""
        # No call takes more than its share of all there is to do: the others would have nothing.
        waiting = sum(request.rows_left for requests in self._callers.values() for request in requests)
        room_max = max(1, min(self.call_rows_max, math.ceil((self.rows + waiting) / calls_at_once)))
        pieces, room, taken = list[Piece](), room_max, 1
        while taken:
            taken, share = 0, max(1, room // max(1, len(self._callers)))
            for caller in list(self._callers):
                new = self._take_of(caller, share, room, room_max)
                rows = sum(len(piece.features) for piece in new)
                pieces, room, taken = pieces + new, room - rows, taken + rows
        return pieces

    def _take_of(self, caller: str | None, share: int, room: int, room_max: int) -> list[Piece]:
        """A caller's next rows, about `share`; a request is cut only if it fits into no call."""
        requests, pieces, rows = self._callers[caller], list[Piece](), 0
        while requests and rows < min(share, room):
            request = requests[0]
            if request.is_wanted:
                if request.rows_left > room - rows and request.rows_left <= room_max:
                    break
                is_wide = request.rows_left > room_max
                pieces.append(_cut(request, min(share, room) - rows if is_wide else room - rows))
                rows += len(pieces[-1].features)
            if not request.is_wanted or not request.rows_left:
                requests.popleft()
        if pieces or not requests:  # who got nothing stays ahead of those who did
            del self._callers[caller]
            if requests:
                self._callers[caller] = requests
        return pieces


def _cut(request: Request, rows_max: int) -> Piece:
    start = request.rows_taken
    features = request.features[start : start + rows_max]
    request.rows_taken += len(features)
    return Piece(request, start, features)
