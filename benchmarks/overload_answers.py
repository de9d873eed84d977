"""What an overload does to answers: how many are good, how fast the others are refused, and when all is well again."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.load.answers import OK, REFUSED, Answers, percentile

RECOVERY_STEP_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of the run: requests a second that were due, answered and refused, and how long the slowest took."""

    start_s: float
    due_per_s: float
    answered_per_s: float
    refused_per_s: float
    answered_p99_ms: float  # NaN where there was none
    refused_p99_ms: float


def goodput_per_s(answers: Answers, start_s: float, end_s: float) -> float:
    """Requests that were answered with 200 in [start, end), a second."""
    return answers.done_between(start_s, end_s).count(OK) / (end_s - start_s)


def recovery_s(answers: Answers, start_s: float, end_s: float, limit_ms: float) -> float:
    """The time after `start_s` from which on 99 % of what is due is answered with 200 within the limit, until `end_s`.

    All of [start, end) where that never happens. What was refused or failed took for ever.
    """
    steps = math.ceil((end_s - start_s) / RECOVERY_STEP_S)
    for step in range(steps):
        due = answers.due_between(start_s + step * RECOVERY_STEP_S, end_s)
        taken = zip(due.taken_ms, due.status, strict=True)
        if due.status and percentile(sorted(ms if status == OK else math.inf for ms, status in taken), 99) <= limit_ms:
            return step * RECOVERY_STEP_S
    return end_s - start_s


def moments(answers: Answers, seconds: float, step_s: float) -> Iterator[Moment]:
    """The run in steps. What was due, and what was answered or refused, each by its own time."""
    for number in range(math.ceil(seconds / step_s)):
        start_s, end_s = number * step_s, (number + 1) * step_s
        done = answers.done_between(start_s, end_s)
        answered, refused = done.taken_by(OK), done.taken_by(*REFUSED)
        yield Moment(
            start_s,
            len(answers.due_between(start_s, end_s).status) / step_s,
            len(answered) / step_s,
            len(refused) / step_s,
            percentile(answered, 99),
            percentile(refused, 99),
        )
