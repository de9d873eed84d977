"""What came back: each answer's status and time, and what many of them come to."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

OK: Final = 200
REFUSED: Final = (429, 503)
FAILED: Final = 0  # the connection broke before the answer was whole
LATE: Final = -1  # no answer when the run had ended, or never sent for want of a connection
NAMES: Final = {FAILED: "failed", LATE: "late"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said: its status, what it spent beside inference in milliseconds, and when to come again."""

    status: int
    added_ms: float | None = None
    retry_after_s: float = 0.0


@dataclass(slots=True)
class Answers:
    """Columns, a row for each request: when it was due, in seconds from the start, when it left, and how long it took.

    `taken_ms` counts from when the request was due and not from when it left: a generator that waits for a slow server
    would else leave out just the requests that server made wait (coordinated omission).
    """

    due_s: list[float] = field(default_factory=list)
    waited_ms: list[float] = field(default_factory=list)  # in the generator, until it left
    taken_ms: list[float] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    added_ms: list[float | None] = field(default_factory=list)
    started_at: float = 0.0  # on the machine's monotonic clock, which all processes share

    def add(self, due_s: float, sent_s: float, done_s: float, reply: Reply) -> None:
        """Keep one answer."""
        self.due_s.append(due_s)
        self.waited_ms.append(1000 * (sent_s - due_s))
        self.taken_ms.append(1000 * (done_s - due_s))
        self.status.append(reply.status)
        self.added_ms.append(reply.added_ms)

    def due_between(self, start_s: float, end_s: float) -> "Answers":
        """Those that were due in [start, end)."""
        return self._only(i for i, due_s in enumerate(self.due_s) if start_s <= due_s < end_s)

    def done_between(self, start_s: float, end_s: float) -> "Answers":
        """Those that were answered in [start, end)."""
        done = (due_s + taken_ms / 1000 for due_s, taken_ms in zip(self.due_s, self.taken_ms, strict=True))
        return self._only(i for i, done_s in enumerate(done) if start_s <= done_s < end_s)

    def taken_by(self, *statuses: int) -> list[float]:
        """Milliseconds of the answers with one of these statuses, ascending."""
        taken = zip(self.taken_ms, self.status, strict=True)
        return sorted(taken_ms for taken_ms, status in taken if status in statuses)

    def count(self, *statuses: int) -> int:
        """How many have one of these statuses."""
        return sum(status in statuses for status in self.status)

    def amount_between(self, start_s: float, end_s: float, *statuses: int) -> float:
        """How many requests with one of these statuses [start, end) was worth: each counts by its part that lies there.

        So a window that just misses the end of a slow request is not worth less than one that just catches it.
        """
        amount = 0.0
        for due_s, taken_ms, status in zip(self.due_s, self.taken_ms, self.status, strict=True):
            inside_s = min(end_s, due_s + taken_ms / 1000) - max(start_s, due_s)
            if status in statuses and inside_s > 0:
                amount += 1000 * inside_s / taken_ms
        return amount

    def _only(self, rows: Iterable[int]) -> "Answers":
        kept = list(rows)
        columns = (self.due_s, self.waited_ms, self.taken_ms, self.status, self.added_ms)
        return Answers(*([column[i] for i in kept] for column in columns))  # type: ignore[arg-type] # alike


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds; NaN where there was nothing."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A stretch of time: its requests by status, what was answered with 200 each second, and how long that took."""

    seconds: float
    statuses: dict[str, int]
    requests_per_s: float
    features_per_s: float
    answered_ms: Percentiles
    refused_ms: Percentiles
    added_ms: Percentiles  # total - inference of Server-Timing: what the gateway adds to its engine
    waited_ms: Percentiles  # in the generator: what it was late itself


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The least value that at least so many percent do not exceed (nearest rank); NaN of nothing."""
    return ascending[max(0, math.ceil(percent / 100 * len(ascending)) - 1)] if ascending else math.nan


def percentiles(ascending: Sequence[float]) -> Percentiles:
    """Of values in ascending order."""
    return Percentiles(*(percentile(ascending, percent) for percent in (50, 90, 99)))


def summarise(answers: Answers, seconds: float, rows: int, amount: float | None = None) -> Summary:
    """What a stretch of so many seconds comes to, with `rows` features in each request.

    `amount`: of requests that were answered in it; without, as many as have the status 200.
    """
    answered = answers.taken_by(OK)
    per_s = (len(answered) if amount is None else amount) / seconds
    return Summary(
        seconds=seconds,
        statuses={NAMES.get(status, str(status)): count for status, count in sorted(Counter(answers.status).items())},
        requests_per_s=per_s,
        features_per_s=per_s * rows,
        answered_ms=percentiles(answered),
        refused_ms=percentiles(answers.taken_by(*REFUSED)),
        added_ms=percentiles(sorted(added for added in answers.added_ms if added is not None)),
        waited_ms=percentiles(sorted(answers.waited_ms)),
    )
