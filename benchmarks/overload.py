"""Three times what the gateway can do: what is still answered, what is refused how fast, and what comes after."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.gateway_claims import Figures, Part, known
from benchmarks.gateway_requests import translate_message
from benchmarks.gateway_stack import Stack, served
from benchmarks.load.answers import OK, REFUSED, Summary
from benchmarks.load.plan import JSON, OCTET_STREAM, Closed, Open, Phase, Plan, seconds_of
from benchmarks.load.run import run_load, start_load
from benchmarks.overload_answers import goodput_per_s, recovery_s
from benchmarks.overload_fairness import fairness_part
from benchmarks.overload_plot import Course, draw_courses
from benchmarks.process_costs import family_of, resident_bytes
from benchmarks.results import Picture, Result, claim, picture_of, result_of
from benchmarks.translate import SOURCE, TARGET
from contract.manifest import Method
from deploy.process import LOOPBACK
from training.progress import View

NAME: Final = "gateway-overload"
CAPACITY_ROWS: Final = 64  # under way while the capacity is measured: enough for full calls, and nothing is refused
CAPACITY_S, CAPACITY_WARM_UP_S = 6.0, 2.0
OVER, HALF = 3.0, 0.5  # of the capacity
HALF_S: Final = 10.0  # before and after
CONNECTIONS: Final = 480  # the gateway holds 512 unless told otherwise
SAMPLE_S: Final = 0.25  # of memory
GOODPUT_MIN: Final = 0.9
REFUSED_MS_MAX: Final = 50.0
GROWTH_MAX: Final = 0.05
RECOVERED_RATIO_MAX: Final = 2.0  # of p99 before
RECOVERY_S_MAX: Final = 1.0


@dataclass(frozen=True, slots=True)
class Kind:
    """Which requests, and how long they are too many."""

    what: str
    rows: int
    content_type: str
    over_s: float


KINDS: Final = (
    Kind("8 rows, octet-stream", 8, OCTET_STREAM, 60.0),
    Kind("1 row, JSON", 1, JSON, 60.0),
)


def overload_result(command: str, view: View) -> Result:
    """Measure the capacity of each kind, exceed it, fall to half of it; then let one key flood and another trickle."""
    started_at, parts, courses = time.monotonic(), list[Part](), list[Course]()
    with served(Method.R3AN) as stack:
        for kind in KINDS:
            view.stage(f"{kind.what}: capacity")
            capacity_per_s = _capacity(stack, kind).requests_per_s
            view.stage(f"{kind.what}: {OVER:g} x {capacity_per_s:.1f} requests/s for {kind.over_s:g} s")
            course = _overload(stack, kind, capacity_per_s)
            parts.append(_part(course))
            courses.append(course)
        view.stage("one key floods, another trickles")
        parts.append(fairness_part(stack, capacity_per_s, OVER))
    draw_courses(courses, picture_of(NAME, Picture.TIME))
    return result_of(
        name=NAME,
        command=command,
        seconds=time.monotonic() - started_at,
        figures=known({key: value for part in parts for key, value in part.figures.items()}),
        claims=[claimed for part in parts for claimed in part.claims],
    )


def _capacity(stack: Stack, kind: Kind) -> Summary:
    pace = Closed(CAPACITY_ROWS // kind.rows, CAPACITY_S, CAPACITY_WARM_UP_S)
    return run_load(_plan(stack, kind, pace)).summaries[0]


def _overload(stack: Stack, kind: Kind, capacity_per_s: float) -> Course:
    """Half the capacity, then three times, then half again, while the gateway's memory is read."""
    half = Phase(HALF * capacity_per_s, HALF_S)
    pace = Open((half, Phase(OVER * capacity_per_s, kind.over_s), half), CONNECTIONS)
    memory: list[tuple[float, int]] = []
    with start_load(_plan(stack, kind, pace)) as load:
        while load.running:
            family = family_of(stack.gateway.process.pid)
            memory.append((time.monotonic(), sum(resident_bytes(process_id) for process_id in family)))
            time.sleep(SAMPLE_S)
        report = load.report()
    answers = report.answers
    assert answers is not None  # noqa: S101 - an open loop has them
    return Course(
        what=kind.what,
        capacity_per_s=capacity_per_s,
        over_start_s=HALF_S,
        over_end_s=HALF_S + kind.over_s,
        end_s=seconds_of(pace),
        answers=answers,
        phases=report.summaries,
        memory=tuple((at - answers.started_at, held) for at, held in memory),
    )


def _plan(stack: Stack, kind: Kind, pace: Closed | Open) -> Plan:
    port = stack.gateway.port
    message = translate_message(port, SOURCE, TARGET, kind.rows, kind.content_type)
    return Plan(LOOPBACK, port, message, kind.rows, pace)


def memory_growth(memory: Sequence[tuple[float, int]], start_s: float, end_s: float) -> float:
    """By how much of itself memory grew from the first third of [start, end) to the last, as medians."""
    third_s = (end_s - start_s) / 3
    first = [held for at, held in memory if start_s <= at < start_s + third_s]
    last = [held for at, held in memory if end_s - third_s <= at < end_s]
    return statistics.median(last) / statistics.median(first) - 1


def _part(course: Course) -> Part:
    before, over, after = course.phases
    goodput = goodput_per_s(course.answers, course.over_start_s, course.over_end_s) / course.capacity_per_s
    limit_ms = RECOVERED_RATIO_MAX * before.answered_ms.p99
    recovered_s = recovery_s(course.answers, course.over_end_s, course.end_s, limit_ms)
    growth = memory_growth(course.memory, course.over_start_s, course.over_end_s)
    answered, all_sent = over.statuses.get(str(OK), 0), sum(over.statuses.values())
    refused = sum(over.statuses.get(str(status), 0) for status in REFUSED)
    figures: Figures = {
        "capacity, requests/s": course.capacity_per_s,
        "goodput over capacity": goodput,
        "share refused": refused / all_sent,
        "p99 ms of refusals": over.refused_ms.p99,
        "p50 ms of answers under overload": over.answered_ms.p50,
        "p99 ms of answers under overload": over.answered_ms.p99,
        "p99 ms of answers before": before.answered_ms.p99,
        "p99 ms of answers after": after.answered_ms.p99,
        "p99 ms of waiting in the generator": over.waited_ms.p99,
        "gateway's memory before, MB": course.memory[0][1] / 1e6,
        "gateway's greatest memory, MB": max(held for _, held in course.memory) / 1e6,
    }
    claims = [
        claim("goodput over capacity", goodput, ">=", GOODPUT_MIN),
        claim("p99 ms of refusals", over.refused_ms.p99 if refused else 0.0, "<=", REFUSED_MS_MAX),
        claim("neither answered nor refused", float(all_sent - answered - refused), "<=", 0.0),
        claim("memory of the overload's last third over its first", 1 + growth, "<=", 1 + GROWTH_MAX),
        claim("seconds to recovery", recovered_s, "<=", RECOVERY_S_MAX),
    ]
    return Part(
        {f"{course.what}: {key}": value for key, value in figures.items()},
        [one.model_copy(update={"what": f"{course.what}: {one.what}"}) for one in claims],
    )
