"""Percentiles are values that were seen, and nothing that was asked is left out of the counts."""

import math

import pytest

from benchmarks.load.answers import FAILED, LATE, OK, Answers, Reply, percentile, summarise


@pytest.mark.parametrize(
    ("percent", "value"), [(50, 5.0), (90, 9.0), (99, 10.0), (100, 10.0), (10, 1.0), (11, 2.0), (0, 1.0)]
)
def test_a_percentile_is_the_least_value_that_so_many_percent_do_not_exceed(percent: float, value: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], percent) == value


def test_the_99th_percentile_of_a_hundred_leaves_one_out() -> None:
    assert percentile([float(number) for number in range(1, 101)], 99) == 99


def test_there_is_no_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 99))


def filled(*rows: tuple[float, float, int]) -> Answers:
    """Answers from (due, done, status), sent when they were due."""
    answers = Answers()
    for due_s, done_s, status in rows:
        answers.add(due_s, due_s, done_s, Reply(status, 0.5 if status == OK else None))
    return answers


def test_a_summary_counts_every_status_and_rates_success_alone() -> None:
    answers = filled((0, 0.1, OK), (0, 0.3, OK), (1, 1.002, 503), (1, 1.004, 429), (1, 1.5, FAILED), (1, 9.0, LATE))
    summary = summarise(answers, seconds=2.0, rows=8)
    assert summary.statuses == {"late": 1, "failed": 1, "200": 2, "429": 1, "503": 1}
    assert summary.requests_per_s == 1
    assert summary.features_per_s == 8
    assert summary.answered_ms.p50 == pytest.approx(100)
    assert summary.answered_ms.p99 == pytest.approx(300)
    assert summary.refused_ms.p99 == pytest.approx(4)
    assert summary.added_ms.p50 == 0.5


def test_time_begins_when_a_request_was_due_and_not_when_it_left() -> None:
    answers = Answers()
    answers.add(due_s=1.0, sent_s=3.0, done_s=3.5, reply=Reply(OK))
    assert answers.taken_ms == [2500]
    assert answers.waited_ms == [2000]


def test_answers_are_told_by_when_they_were_due_or_done() -> None:
    answers = filled((0.0, 1.5, 200), (1.0, 1.2, 201), (1.9, 2.5, 202))
    assert answers.due_between(0.0, 1.0).status == [200]
    assert answers.due_between(1.0, 2.0).status == [201, 202]
    assert answers.done_between(1.0, 2.0).status == [200, 201]


def test_a_request_counts_by_the_part_of_it_that_lies_between() -> None:
    answers = filled((0.0, 2.0, OK), (1.0, 1.5, OK), (1.5, 3.5, OK), (1.0, 2.0, 503), (4.0, 5.0, OK))
    assert answers.amount_between(1.0, 2.0, OK) == pytest.approx(0.5 + 1 + 0.25)
    assert answers.amount_between(0.0, 9.0, OK) == pytest.approx(4)


@pytest.mark.parametrize("start_s", [0.0, 0.3, 0.7, 1.1])
def test_slow_calls_have_the_same_rate_wherever_the_window_lies(start_s: float) -> None:
    answers = filled(*((number * 0.8, (number + 1) * 0.8, OK) for number in range(10)))
    assert answers.amount_between(start_s, start_s + 2.0, OK) == pytest.approx(2.0 / 0.8)
