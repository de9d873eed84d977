"""A closed loop waits for answers; an open one does not, and what then waits is late."""

import asyncio
import itertools

import pytest

from benchmarks.load import pacing
from benchmarks.load.answers import LATE, OK, Answers, Reply
from benchmarks.load.pacing import arrivals, send_closed, send_open
from benchmarks.load.plan import Closed, Open, Phase

SERVICE_S = 0.01


async def slow_server() -> Reply:
    await asyncio.sleep(SERVICE_S)
    return Reply(OK)


async def silent_server() -> Reply:
    return await asyncio.get_running_loop().create_future()


def test_arrivals_keep_the_rate_of_each_phase_and_are_the_same_for_a_seed() -> None:
    phases = [Phase(rate_per_s=1000, seconds=2), Phase(rate_per_s=100, seconds=3)]
    due = list(arrivals(phases, seed=1))
    assert due == sorted(due) == list(arrivals(phases, seed=1)) != list(arrivals(phases, seed=2))
    first = sum(due_s < 2 for due_s in due)
    assert first == pytest.approx(2000, rel=0.1)
    assert len(due) - first == pytest.approx(300, rel=0.2)
    assert max(due) < 5


def test_gaps_between_arrivals_are_as_uneven_as_those_of_strangers() -> None:
    gaps = [after - before for before, after in itertools.pairwise(arrivals([Phase(1000, 10)], seed=0))]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.1), "as of an exponential distribution"


def test_an_open_loop_does_not_slow_down_when_answers_do() -> None:
    pace = Open((Phase(rate_per_s=1000, seconds=0.1),), connections=1)
    answers = asyncio.run(send_open([slow_server], pace))
    assert answers.due_s == list(arrivals(pace.phases, pace.seed)), "all that were due, in their order"
    for number, (due_s, taken_ms) in enumerate(zip(answers.due_s, answers.taken_ms, strict=True)):
        done_s = (number + 1) * SERVICE_S  # at the earliest, by one connection
        assert taken_ms >= 1000 * (done_s - due_s) - 1
    assert answers.taken_ms[-1] > 10 * 1000 * SERVICE_S


def test_what_has_no_answer_in_the_end_is_counted_as_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "DRAIN_S_MAX", 0.0)
    pace = Open((Phase(rate_per_s=1000, seconds=0.05),), connections=3)
    answers = asyncio.run(send_open([silent_server] * 3, pace))
    assert sorted(answers.due_s) == list(arrivals(pace.phases, pace.seed))
    assert set(answers.status) == {LATE}


def test_a_failure_of_the_generator_itself_ends_an_open_loop() -> None:
    async def broken() -> Reply:
        raise ValueError("of the generator")

    with pytest.raises(ValueError, match="of the generator"):
        asyncio.run(send_open([broken], Open((Phase(rate_per_s=1000, seconds=0.05),), connections=1)))


def test_who_is_refused_in_a_closed_loop_comes_again_when_told_to() -> None:
    async def refusing() -> Reply:
        return Reply(503, retry_after_s=60.0)

    answers = asyncio.run(send_closed([refusing] * 2, Closed(at_once=2, seconds=0.05, warm_up_s=0.0)))
    assert answers.status == [503, 503]


def test_a_closed_loop_keeps_as_many_requests_under_way_as_it_may() -> None:
    under_way, most = 0, 0

    async def server() -> Reply:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(SERVICE_S)
        under_way -= 1
        return Reply(OK)

    answers = asyncio.run(send_closed([server] * 4, Closed(at_once=4, seconds=0.05, warm_up_s=0.05)))
    assert most == 4
    assert under_way == 0, "all are answered before it ends"
    assert isinstance(answers, Answers)
    assert len(answers.status) >= 8
    assert max(answers.due_s) < 0.1
