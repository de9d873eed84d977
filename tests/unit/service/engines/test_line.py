"""How many rows a call may have, whose they are, and who waits too long."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from contract.spaces import FeatureSpace
from service.engines import line as line_module
from service.engines.line import CALL_ROWS_MIN, CALL_S, Line, Request
from tests.manifests import make_manifest

ROWS_MAX = 512
MANIFEST = make_manifest(FeatureSpace(id="source", dim=2), FeatureSpace(id="target", dim=2))


class Clock:
    """A clock that is set."""

    now_s = 1000.0

    def monotonic(self) -> float:
        """As time's."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(line_module, "time", clock)
    return clock


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """For futures that nobody waits for."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def call(line: Line, clock: Clock, rows: int, seconds: float) -> None:
    """A call that was answered."""
    began_s = line.begin(rows)
    clock.now_s += seconds
    line.end(rows, began_s, answered=True)


def asked(line: Line, loop: asyncio.AbstractEventLoop, clock: Clock, caller: str, rows: int) -> Request:
    features = np.zeros((rows, 2), dtype=np.float32)
    request = Request(features, clock.now_s, clock.now_s + 60, loop.create_future())
    line.add(line.lane_of(caller, rows), request)
    return request


def callers_of(line: Line, requests: dict[int, str]) -> Counter[str]:
    """Rows of each caller in the next call."""
    rows: Counter[str] = Counter()
    for piece in line.take(1):
        rows[requests[id(piece.request)]] += len(piece.features)
    return rows


@pytest.mark.parametrize(
    ("calls", "rows_max"),
    [
        ([], CALL_ROWS_MIN),
        ([(512, CALL_S / 10)], ROWS_MAX),
        ([(128, CALL_S)], 128),
        ([(64, 10 * CALL_S)], CALL_ROWS_MIN),
        ([(1, CALL_S / 10)] * 20, CALL_ROWS_MIN),  # the cost of a call, which tells nothing of a row's
        ([(1, CALL_S / 10)] * 20 + [(64, CALL_S / 10)] * 10, ROWS_MAX),
    ],
    ids=["unknown", "fast", "just", "slow", "narrow", "narrow-then-wide"],
)
def test_a_call_may_have_as_many_rows_as_it_can_answer_soon(
    clock: Clock, calls: list[tuple[int, float]], rows_max: int
) -> None:
    line = Line(MANIFEST, ROWS_MAX)
    for rows, seconds in calls:
        call(line, clock, rows, seconds)
    assert line.call_rows_max in {rows_max, rows_max - 1}  # rounding


def test_a_call_that_failed_tells_nothing(clock: Clock) -> None:
    line = Line(MANIFEST, ROWS_MAX)
    call(line, clock, 64, CALL_S)
    began_s = line.begin(512)
    line.end(512, began_s, answered=False)
    assert line.call_rows_max in {63, 64}


@pytest.mark.parametrize("rows", [1, 20, 90, 400])
def test_a_caller_gets_no_more_rows_than_another_however_wide_its_requests(
    clock: Clock, loop: asyncio.AbstractEventLoop, rows: int
) -> None:
    line = Line(MANIFEST, ROWS_MAX)
    requests = {id(asked(line, loop, clock, "greedy", rows)): "greedy" for _ in range(400 // rows)}
    for caller in ("modest", "other"):
        requests |= {id(asked(line, loop, clock, caller, 1)): caller for _ in range(40)}
    taken: Counter[str] = Counter()
    for _ in range(3):
        taken += callers_of(line, requests)
    assert taken.total() == 3 * CALL_ROWS_MIN
    assert max(taken.values()) - min(taken.values()) <= 3  # a call's rows do not divide by three


def test_more_lanes_than_a_call_has_rows_are_served_in_turn(clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
    line = Line(MANIFEST, ROWS_MAX)
    names = [f"caller-{number}" for number in range(CALL_ROWS_MIN + 8)]
    requests = {id(asked(line, loop, clock, name, 2)): name for name in names}
    first, second = callers_of(line, requests), callers_of(line, requests)
    assert list(first) == names[:CALL_ROWS_MIN]
    assert list(second)[:8] == names[CALL_ROWS_MIN:]


def test_a_narrow_request_does_not_wait_for_its_callers_wide_one(clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
    line = Line(MANIFEST, ROWS_MAX)
    wide = asked(line, loop, clock, "one", 4096)
    narrow = asked(line, loop, clock, "one", 1)
    pieces = line.take(1)
    assert {id(piece.request) for piece in pieces} == {id(wide), id(narrow)}
    assert not line.is_behind(line.lane_of("one", 1), 1, clock.now_s + 60, 0.5)


def test_who_comes_behind_more_than_can_be_done_in_time_is_refused_at_once(
    clock: Clock, loop: asyncio.AbstractEventLoop
) -> None:
    line = Line(MANIFEST, ROWS_MAX)
    for _ in range(100):
        asked(line, loop, clock, "one", 8)
    for _ in range(2):  # 32 rows in a tenth of a second
        taken = sum(len(piece.features) for piece in line.take(1))
        call(line, clock, taken, 0.1)
    lane = line.lane_of("one", 8)
    assert line.is_behind(lane, 8, clock.now_s, 2.2)  # 736 rows wait: 2.3 seconds
    assert not line.is_behind(lane, 8, clock.now_s, 2.4)
    assert not line.is_behind(line.lane_of("other", 8), 8, clock.now_s, 0.1)


def test_a_request_may_wait_as_long_as_it_takes_itself(clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
    line = Line(MANIFEST, ROWS_MAX)
    asked(line, loop, clock, "one", 1024)
    for _ in range(2):
        call(line, clock, sum(len(piece.features) for piece in line.take(1)), 0.1)
    lane = line.lane_of("one", 1024)
    assert not line.is_behind(lane, 1024, clock.now_s, 0.5)
    asked(line, loop, clock, "one", 1024)
    assert line.is_behind(lane, 1024, clock.now_s, 0.5)


def test_who_gave_up_is_neither_served_nor_waited_for(clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
    line = Line(MANIFEST, ROWS_MAX)
    gone = asked(line, loop, clock, "one", 1)
    gone.answer.cancel()
    assert not line.is_behind(line.lane_of("one", 1), 1, clock.now_s + 60, 0.5)
    assert line.take(1) == []
    assert line.is_empty
