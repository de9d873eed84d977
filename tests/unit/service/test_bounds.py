"""What bounds a request: work in flight and the deadline."""

import time

import pytest
from prometheus_client import CollectorRegistry, Gauge

from service.bounds import Deadline, InFlight
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


def test_a_deadline_tells_what_is_left() -> None:
    assert 59_000 < Deadline(time.monotonic() + 60).remaining_ms() <= 60_000


def test_a_passed_deadline_is_an_error() -> None:
    with pytest.raises(DeadlineExceededError):
        Deadline(time.monotonic()).remaining_ms()
