"""What waits for an engine: requests in lanes, which take turns by rows."""

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from contract.manifest import TranslatorManifest
from contract.vectors import Features

# A call is to take this long at most, since whoever comes next waits for its end; as long as a call has
# this many rows, by which its own cost is small.
CALL_S = 0.05
CALL_ROWS_MIN = 32
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

    def cut(self, rows_max: int) -> "Piece":
        """Its next rows, for a call."""
        start = self.rows_taken
        features = self.features[start : start + rows_max]
        self.rows_taken += len(features)
        return Piece(self, start, features)

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


class Lane(NamedTuple):
    """Whose requests wait for one another: a caller's narrow ones, or its wide ones."""

    caller: str | None
    is_wide: bool


@dataclass(slots=True)
class Pace:
    """Seconds that a row takes, by what was observed lately."""

    _seconds: float = 0.0
    _rows: float = 0.0

    @property
    def row_s(self) -> float:
        """Of a row; 0 where nothing is known."""
        return self._seconds / self._rows if self._rows else 0.0

    def observe(self, seconds: float, rows: int) -> None:
        """Rows took so long. What is wide counts for more: narrow calls tell of their own cost above all."""
        self._seconds = FORGETTING * self._seconds + seconds
        self._rows = FORGETTING * self._rows + rows


@dataclass(slots=True)
class Line:
    """What one translator version has to do. In a lane, first come is first served; lanes take turns."""

    manifest: TranslatorManifest
    rows_max: int  # of a call
    calls: int = 0  # under way
    rows: int = 0  # of them
    _calls_pace: Pace = field(default_factory=Pace)  # of calls, from their beginning to their end
    _busy_pace: Pace = field(default_factory=Pace)  # from one end to the next, while somebody waited
    _busy_since_s: float | None = None  # the last end of a call, if somebody waited then
    _lanes: dict[Lane, deque[Request]] = field(default_factory=dict)  # the next to be served first

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits."""
        return not self._lanes

    @property
    def call_rows_max(self) -> int:
        """Rows that a call may have now, by what calls took lately; few as long as nothing is known."""
        row_s = self._calls_pace.row_s
        wanted = math.floor(min(self.rows_max, CALL_S / row_s)) if row_s else 0
        return min(self.rows_max, max(CALL_ROWS_MIN, wanted))

    def lane_of(self, caller: str | None, rows: int) -> Lane:
        """Where a request of so many rows waits. Wide ones have a lane, so that narrow ones need not wait for them."""
        return Lane(caller, rows > self.call_rows_max)

    def add(self, lane: Lane, request: Request) -> None:
        """Let a request wait for its turn."""
        self._lanes.setdefault(lane, deque()).append(request)

    def is_behind(self, lane: Lane, rows: int, now_s: float, wait_s_max: float) -> bool:
        """Whether a request of so many rows would wait too long: longer than it may, and longer than it takes itself.

        By how long the lane's first has waited, and by how long what is before it would take at the latest pace.
        """
        waiting = [request for request in self._lanes.get(lane, ()) if request.is_wanted]
        if not waiting:
            return False
        row_s = self._busy_pace.row_s * len(self._lanes)
        waited_s = max((now_s - request.since_s for request in waiting if request.rows_taken == 0), default=0.0)
        ahead_s = row_s * sum(request.rows_left for request in waiting)
        return max(waited_s, ahead_s) > max(wait_s_max, row_s * rows)

    def begin(self, rows: int) -> float:
        """A call is under way; returns since when."""
        self.calls += 1
        self.rows += rows
        return time.monotonic()

    def end(self, rows: int, began_s: float, *, answered: bool) -> None:
        """It is not any more. One that was answered tells how long rows take."""
        now_s = time.monotonic()
        self.calls -= 1
        self.rows -= rows
        if answered:
            self._calls_pace.observe(now_s - began_s, rows)
            if self._busy_since_s is not None:
                self._busy_pace.observe(now_s - self._busy_since_s, rows)
        self._busy_since_s = now_s if answered and not self.is_empty else None

    def take(self, calls_at_once: int) -> list[Piece]:
        """What goes into the next call: as many rows of each lane as of any other, as far as it has them."""
        # No call takes more than its share of all there is to do: the others would have nothing.
        waiting = sum(request.rows_left for requests in self._lanes.values() for request in requests)
        room = max(1, min(self.call_rows_max, math.ceil((self.rows + waiting) / calls_at_once)))
        pieces = list[Piece]()
        while room and self._lanes:
            share = max(1, room // len(self._lanes))
            for lane in list(self._lanes)[:room]:
                taken = self._take_of(lane, share)
                pieces += taken
                room -= sum(len(piece.features) for piece in taken)
        return pieces

    def _take_of(self, lane: Lane, rows_max: int) -> list[Piece]:
        """A lane's next rows. If more wait, it stands behind the other lanes afterwards."""
        requests, pieces, room = self._lanes.pop(lane), list[Piece](), rows_max
        while requests and room:
            request = requests[0]
            if request.is_wanted:
                pieces.append(request.cut(room))
                room -= len(pieces[-1].features)
            if not request.is_wanted or not request.rows_left:
                requests.popleft()
        if requests:
            self._lanes[lane] = requests
        return pieces
