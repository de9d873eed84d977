"""Goodput, recovery and growth are what was answered, when, and what memory really did."""

import pytest

from benchmarks.load.answers import FAILED, LATE, OK, Answers, Reply
from benchmarks.overload import memory_growth
from benchmarks.overload_answers import goodput_per_s, moments, recovery_s


def course(*rows: tuple[float, float, int]) -> Answers:
    """Answers from (due, taken in ms, status)."""
    answers = Answers()
    for due_s, taken_ms, status in rows:
        answers.add(due_s, due_s, due_s + taken_ms / 1000, Reply(status))
    return answers


def test_goodput_is_what_was_answered_in_that_time_and_not_what_was_refused() -> None:
    answers = course((0.0, 1500, OK), (1.0, 500, OK), (1.0, 1500, OK), (1.0, 1, 503), (1.5, 10, FAILED))
    assert goodput_per_s(answers, 1.0, 2.0) == 2


def test_all_is_well_again_from_when_nearly_all_is_answered_soon() -> None:
    slow = [(10 + number / 10, 500.0, OK) for number in range(5)]
    soon = [(10.5 + number / 10, 20.0, OK) for number in range(200)]
    assert recovery_s(course(*slow, *soon), 10.0, 40.0, limit_ms=40.0) == pytest.approx(0.3), (
        "one in a hundred is spared"
    )
    assert recovery_s(course(*soon), 10.0, 40.0, limit_ms=40.0) == 0


@pytest.mark.parametrize("status", [503, 429, FAILED, LATE])
def test_a_quick_refusal_is_no_recovery(status: int) -> None:
    answers = course(*((10 + number / 10, 1.0, status) for number in range(100)))
    assert recovery_s(answers, 10.0, 20.0, limit_ms=40.0) == 10


def test_silence_is_no_recovery() -> None:
    assert recovery_s(course((10.0, 500.0, OK)), 10.0, 20.0, limit_ms=40.0) == 10


def test_moments_count_each_request_when_it_was_due_and_when_it_was_done() -> None:
    answers = course((0.1, 1200, OK), (0.2, 3, 503), (1.5, 100, OK))
    first, second = moments(answers, seconds=2.0, step_s=1.0)
    assert (first.due_per_s, first.answered_per_s, first.refused_per_s) == (2, 0, 1)
    assert (second.due_per_s, second.answered_per_s, second.refused_per_s) == (1, 2, 0)
    assert first.refused_p99_ms == pytest.approx(3)
    assert second.answered_p99_ms == pytest.approx(1200)


def test_memory_grows_by_the_medians_of_the_thirds() -> None:
    memory = [(float(second), 100 + second) for second in range(-5, 40)]
    assert memory_growth(memory, 0.0, 30.0) == pytest.approx((100 + 24.5) / (100 + 4.5) - 1)
    assert memory_growth([(float(second), 100) for second in range(30)], 0.0, 30.0) == 0
