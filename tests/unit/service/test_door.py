"""Who is kept out, and for how long, after the engine has refused a request."""

import pytest

from service.door import SHUT_S, Door
from service.errors import OverloadedError


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(clock: Clock) -> Door:
    """It was shut to a caller with eight requests of a thousand bytes in flight."""
    door = Door(clock)
    door.shut("busy", 8, 1000)
    return door


def test_a_caller_with_as_many_in_flight_as_then_is_kept_out(door: Door) -> None:
    with pytest.raises(OverloadedError) as refused:
        door.pass_through("busy", 8, 1000)
    assert refused.value.retry_after_s == 1


@pytest.mark.parametrize(
    ("caller", "in_flight", "body_bytes"),
    [("busy", 7, 1000), ("other", 8, 1000), ("busy", 8, 999), (None, 8, 1000)],
    ids=["fewer", "another", "smaller", "itself"],
)
def test_others_come_in(door: Door, caller: str | None, in_flight: int, body_bytes: int) -> None:
    door.pass_through(caller, in_flight, body_bytes)


def test_after_a_moment_the_engine_is_asked_again(door: Door, clock: Clock) -> None:
    clock.now = SHUT_S
    door.pass_through("busy", 100, 1000)
    clock.now = 0.0
    door.pass_through("busy", 100, 1000)  # it is forgotten


def test_one_request_at_a_time_comes_in_always(clock: Clock) -> None:
    door = Door(clock)
    door.shut("busy", 0, 1000)
    door.pass_through("busy", 0, 1000)
