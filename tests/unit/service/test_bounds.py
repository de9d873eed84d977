"""What bounds a request: work in flight and the deadline."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from prometheus_client import CollectorRegistry, Gauge

from service.bounds import PRESENT_S, Deadline, InFlight
from service.callers import CALLER
from service.errors import DeadlineExceededError, OverloadedError


@pytest.fixture
def gauge() -> Gauge:
    return Gauge("held", "Held.", registry=CollectorRegistry())


def test_what_fits_is_held_and_given_back(gauge: Gauge) -> None:
    rows = InFlight(4, "features", gauge)
    with rows.hold(3), rows.hold(1):
        assert gauge.collect()[0].samples[0].value == 4
    assert gauge.collect()[0].samples[0].value == 0


def test_what_does_not_fit_is_refused_at_once_and_told_when_to_come_back(gauge: Gauge) -> None:
    rows = InFlight(4, "features", gauge)
    with rows.hold(3), pytest.raises(OverloadedError, match="4 features") as refused, rows.hold(2):
        pass
    assert refused.value.retry_after_s == 1
    with rows.hold(4):
        pass


def test_a_failure_gives_back_what_was_held(gauge: Gauge) -> None:
    rows = InFlight(1, "features", gauge)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), rows.hold(1):
            raise ZeroDivisionError


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def asking(caller: str) -> Iterator[None]:
    """What is done in the name of a caller."""
    token = CALLER.set(caller)
    yield
    CALLER.reset(token)


def takes(bound: InFlight, caller: str, stack: ExitStack) -> int:
    """How often a caller gets in, one by one, until it is refused."""
    taken = 0
    with asking(caller):
        while True:
            try:
                stack.enter_context(bound.hold(1))
            except OverloadedError:
                return taken
            taken += 1


def test_a_caller_that_is_alone_may_take_all(gauge: Gauge) -> None:
    with ExitStack() as stack:
        assert takes(InFlight(170, "requests", gauge), "a", stack) == 170


def test_callers_get_equal_shares_and_something_is_free_for_the_next(gauge: Gauge) -> None:
    clock = Clock()
    bound = InFlight(170, "requests", gauge, clock)
    with ExitStack() as stack:
        with asking("b"), bound.hold(1):
            pass
        assert takes(bound, "a", stack) == 152  # eight ninths, rounded
        with ExitStack() as others:
            assert takes(bound, "b", others) == 16  # a holds too much of what both may have, and gets no more
        assert takes(bound, "c", stack) == 16
        assert takes(bound, "a", stack) == 0
    with ExitStack() as stack:  # from an even start
        counts = {"a": 0, "b": 0}
        while True:
            before = dict(counts)
            for caller in counts:
                with asking(caller):
                    try:
                        stack.enter_context(bound.hold(1))
                        counts[caller] += 1
                    except OverloadedError:
                        continue
            if before == counts:
                break
        assert counts == {"a": 80, "b": 80}


def test_a_caller_that_was_refused_beside_one_that_has_all_gets_in_when_it_comes_again(gauge: Gauge) -> None:
    bound = InFlight(9, "requests", gauge)
    with ExitStack() as stack:
        assert takes(bound, "a", stack) == 9
        with asking("b"), pytest.raises(OverloadedError), bound.hold(1):
            pass
    with ExitStack() as stack:
        assert takes(bound, "a", stack) == 8
        assert takes(bound, "b", stack) == 1


def test_a_caller_that_has_been_away_is_reckoned_with_no_more(gauge: Gauge) -> None:
    clock = Clock()
    bound = InFlight(9, "requests", gauge, clock)
    with asking("b"), bound.hold(1):
        pass
    clock.now = PRESENT_S + 1
    with ExitStack() as stack:
        assert takes(bound, "a", stack) == 9


def test_a_first_request_may_take_all_that_is_free(gauge: Gauge) -> None:
    bound = InFlight(100, "features", gauge)
    with asking("a"), bound.hold(10), asking("b"), bound.hold(90):
        pass


def test_a_deadline_tells_what_is_left() -> None:
    assert 59_000 < Deadline(time.monotonic() + 60).remaining_ms() <= 60_000


def test_a_passed_deadline_is_an_error() -> None:
    with pytest.raises(DeadlineExceededError):
        Deadline(time.monotonic()).remaining_ms()
