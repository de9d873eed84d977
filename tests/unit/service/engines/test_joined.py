"""Requests that wait for an engine share its calls."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from contract.manifest import TranslatorManifest
from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.callers import CALLER
from service.engines.joined import JoinedEngine
from service.errors import EngineFailedError, EngineOverloadedError, EngineTimeoutError, EngineUnavailableError
from tests.manifests import make_manifest

pytestmark = pytest.mark.anyio
SOURCE, TARGET = FeatureSpace(id="source", dim=2), FeatureSpace(id="target", dim=2)
MANIFEST = make_manifest(SOURCE, TARGET)
BAD = -1.0
ROWS_MAX = 4
LONG_MS = 60_000


class Gate:
    """An engine that answers with twice the features, each call when it is let through."""

    name = "gate"

    def __init__(self) -> None:
        self.calls: list[list[float]] = []  # the first number of each row
        self.arrived = asyncio.Condition()
        self.open = asyncio.Event()
        self.failure: Exception | None = None
        self.rows_missing = 0
        self.cancelled = 0

    async def load(self, manifest: TranslatorManifest) -> None:
        """Nothing to do."""

    async def unload(self, translator: str, version: int) -> None:
        """Nothing to do."""

    async def translate(self, manifest: TranslatorManifest, features: Features, timeout_ms: int) -> Features:
        """Wait for the gate, then answer or fail."""
        async with self.arrived:
            self.calls.append(features[:, 0].tolist())
            self.arrived.notify_all()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        if BAD in features:
            raise EngineFailedError("a row that no translator can take")
        return (2 * features)[self.rows_missing :]

    async def ready(self) -> bool:
        """Always."""
        return True

    async def close(self) -> None:
        """Nothing is held."""

    async def until_called(self, times: int) -> None:
        """Return when it was called so often."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.calls) >= times)


@pytest.fixture
async def gate() -> Gate:
    return Gate()


def joined(gate: Gate, calls_at_once: int = 1, wait_ms_max: int = LONG_MS) -> JoinedEngine:
    return JoinedEngine(gate, rows_max=ROWS_MAX, calls_at_once=calls_at_once, wait_ms_max=wait_ms_max)


def rows(*values: float) -> Features:
    return np.array([[value, value] for value in values], dtype=np.float32)


def asked(engine: JoinedEngine, *values: float, timeout_ms: int = LONG_MS) -> "asyncio.Task[Features]":
    return asyncio.create_task(engine.translate(MANIFEST, rows(*values), timeout_ms))


@contextmanager
def asking(caller: str) -> Iterator[None]:
    """What is asked in the name of a caller."""
    token = CALLER.set(caller)
    yield
    CALLER.reset(token)


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def busy(engine: JoinedEngine, gate: Gate) -> "asyncio.Task[Features]":
    """A call is under way, at the gate."""
    first = asked(engine, 0)
    await gate.until_called(1)
    return first


async def left_by_its_caller(engine: JoinedEngine, gate: Gate) -> "asyncio.Task[Features]":
    """The caller of the only call has left, and a request that waited for it is at the gate in its place."""
    first, second = await busy(engine, gate), asked(engine, 1)
    await settle()
    first.cancel()
    await gate.until_called(2)
    return second


async def test_a_request_that_finds_a_call_free_goes_at_once_and_alone(gate: Gate) -> None:
    engine = joined(gate, calls_at_once=2)
    tasks = [asked(engine, 1), asked(engine, 2)]
    await gate.until_called(2)
    assert gate.calls == [[1], [2]]
    gate.open.set()
    assert [task.tolist() for task in await asyncio.gather(*tasks)] == [[[2, 2]], [[4, 4]]]


async def test_what_comes_while_the_engine_is_busy_shares_the_next_call_and_each_gets_its_own_rows(gate: Gate) -> None:
    engine = joined(gate)
    tasks = [await busy(engine, gate), asked(engine, 1), asked(engine, 2, 3), asked(engine, 4)]
    await settle()
    assert gate.calls == [[0]]
    gate.open.set()
    answers = await asyncio.gather(*tasks)
    assert gate.calls == [[0], [1, 2, 3, 4]]
    assert [answer[:, 0].tolist() for answer in answers] == [[0], [2], [4, 6], [8]]


async def test_a_call_takes_no_more_rows_than_it_may_and_nobody_is_overtaken(gate: Gate) -> None:
    engine = joined(gate)
    tasks = [await busy(engine, gate), asked(engine, 1, 2, 3), asked(engine, 4, 5), asked(engine, 6)]
    await settle()
    gate.open.set()
    await asyncio.gather(*tasks)
    assert gate.calls == [[0], [1, 2, 3], [4, 5, 6]]


async def test_no_call_takes_more_than_its_share_of_all_there_is_to_do(gate: Gate) -> None:
    engine = joined(gate, calls_at_once=2)
    tasks = [await busy(engine, gate), asked(engine, 1)]
    await gate.until_called(2)
    tasks += [asked(engine, value) for value in (2, 3, 4, 5)]
    await settle()
    gate.open.set()
    await asyncio.gather(*tasks)
    assert gate.calls == [[0], [1], [2, 3, 4], [5]]


async def test_a_wide_request_is_cut_and_answered_in_order(gate: Gate) -> None:
    engine = joined(gate, calls_at_once=2)
    gate.open.set()
    answer = await asked(engine, *range(11))
    assert sorted(map(len, gate.calls)) == [3, 4, 4]
    assert answer[:, 0].tolist() == [2 * value for value in range(11)]


async def test_callers_take_turns_however_much_each_asks(gate: Gate) -> None:
    engine = joined(gate)
    tasks = [await busy(engine, gate)]
    with asking("one"):
        tasks.append(asked(engine, *range(10, 22)))
        await settle()
    with asking("other"):
        tasks += [asked(engine, 1), asked(engine, 2), asked(engine, 3)]
        await settle()
    gate.open.set()
    await asyncio.gather(*tasks)
    assert gate.calls == [[0], [10, 11, 1, 2], [12, 13, 3, 14], [15, 16, 17, 18], [19, 20, 21]]


async def test_a_caller_whose_request_has_waited_too_long_gets_no_further_one_in_but_others_do(gate: Gate) -> None:
    engine = joined(gate, wait_ms_max=1)
    with asking("one"):
        tasks = [await busy(engine, gate), asked(engine, 1)]
        await settle()
        await asyncio.to_thread(time.sleep, 0.002)  # longer than anybody may wait
        with pytest.raises(EngineOverloadedError) as refused:
            await engine.translate(MANIFEST, rows(2), LONG_MS)
    assert refused.value.retry_after_s == 1
    with asking("other"):
        tasks.append(asked(engine, 3))
        await settle()
    tasks.append(asked(engine, 4))  # of the gateway itself
    await settle()
    gate.open.set()
    await asyncio.gather(*tasks)
    assert gate.calls == [[0], [1, 3, 4]]
    with asking("one"):
        assert (await asked(engine, 5)).tolist() == [[10, 10]]


async def test_a_request_that_was_given_up_is_not_asked_for_again_when_its_call_fails(gate: Gate) -> None:
    engine = joined(gate)
    tasks = [await busy(engine, gate), asked(engine, BAD), asked(engine, 1), asked(engine, 2)]
    await settle()
    tasks[0].cancel()
    await gate.until_called(2)
    tasks[2].cancel()
    await settle()
    gate.open.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert gate.calls == [[0], [BAD, 1, 2], [BAD], [2]]


async def test_a_row_that_fails_the_call_fails_its_own_request_alone(gate: Gate) -> None:
    engine = joined(gate)
    tasks = [await busy(engine, gate), asked(engine, 1), asked(engine, BAD), asked(engine, 3)]
    await settle()
    gate.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[2], EngineFailedError)
    assert [answer.tolist() for answer in answers if not isinstance(answer, BaseException)] == [
        [[0, 0]],
        [[2, 2]],
        [[6, 6]],
    ]


@pytest.mark.parametrize("failure", [EngineUnavailableError("gone", retry_after_s=1), RuntimeError("unforeseen")])
async def test_every_request_of_a_call_meets_its_failure(gate: Gate, failure: Exception) -> None:
    engine = joined(gate)
    tasks = [await busy(engine, gate), asked(engine, 1), asked(engine, 2)]
    await settle()
    gate.failure = failure
    gate.open.set()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [failure] * 3
    assert gate.calls == [[0], [1, 2]]


async def test_an_answer_of_another_number_of_rows_is_nobodys(gate: Gate) -> None:
    engine = joined(gate)
    first = await busy(engine, gate)
    tasks = [asked(engine, 1), asked(engine, 2)]
    await settle()
    gate.rows_missing = 1
    gate.open.set()
    await first
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [EngineFailedError, EngineFailedError]


async def test_a_request_whose_deadline_passes_in_the_line_is_not_run(gate: Gate) -> None:
    engine = joined(gate)
    first, patient = await busy(engine, gate), asked(engine, 1)
    with pytest.raises(EngineTimeoutError):
        await asked(engine, 2, timeout_ms=1)
    gate.open.set()
    await asyncio.gather(first, patient)
    assert gate.calls == [[0], [1]]


async def test_a_caller_that_leaves_makes_room_for_the_next(gate: Gate) -> None:
    second = await left_by_its_caller(joined(gate), gate)
    assert gate.calls == [[0], [1]]
    gate.open.set()
    assert (await second).tolist() == [[2, 2]]


async def test_closing_ends_the_calls_under_way_and_what_waits_for_them(gate: Gate) -> None:
    engine = joined(gate)
    waiting = await left_by_its_caller(engine, gate)
    await engine.close()
    async with asyncio.timeout(60):
        await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert gate.cancelled == 2
