"""What a load generator prints: a summary of each stretch, and with an open loop every answer."""

import itertools
import json
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.load.answers import OK, Answers, Percentiles, Summary, summarise
from benchmarks.load.plan import Closed, Open


@dataclass(frozen=True, slots=True)
class Report:
    """One summary for a closed loop, one for each phase of an open one; `answers` of an open loop alone."""

    summaries: tuple[Summary, ...]
    answers: Answers | None


def report_of(answers: Answers, pace: Closed | Open, rows: int) -> Report:
    """A closed loop counts what went on after the warm-up; an open one what was due in each phase."""
    if isinstance(pace, Closed):
        window = (pace.warm_up_s, pace.warm_up_s + pace.seconds)
        amount = answers.amount_between(*window, OK)
        return Report((summarise(answers.done_between(*window), pace.seconds, rows, amount),), None)
    ends_s = itertools.accumulate(phase.seconds for phase in pace.phases)
    summaries = tuple(
        summarise(answers.due_between(end_s - phase.seconds, end_s), phase.seconds, rows)
        for phase, end_s in zip(pace.phases, ends_s, strict=True)
    )
    return Report(summaries, answers)


def report_to_json(report: Report) -> str:
    """A report as text."""
    return json.dumps(asdict(report))


def report_from_json(text: str) -> Report:
    """A report from `report_to_json`."""
    given = json.loads(text)
    answers = None if given["answers"] is None else Answers(**given["answers"])
    return Report(tuple(_summary(summary) for summary in given["summaries"]), answers)


def _summary(given: dict[str, Any]) -> Summary:
    nested = {name: Percentiles(**value) for name, value in given.items() if name.endswith("_ms")}
    return Summary(**given | nested)
