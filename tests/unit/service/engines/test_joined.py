"""Requests that wait for an engine share its calls."""

import asyncio

import numpy as np
import pytest

from contract.manifest import TranslatorManifest
from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.engines.joined import JoinedEngine
from service.errors import EngineFailedError, EngineTimeoutError, EngineUnavailableError
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


def joined(gate: Gate, calls_at_once: int = 1) -> JoinedEngine:
    return JoinedEngine(gate, rows_max=ROWS_MAX, calls_at_once=calls_at_once)


def rows(*values: float) -> Features:
    return np.array([[value, value] for value in values], dtype=np.float32)


def asked(engine: JoinedEngine, *values: float, timeout_ms: int = LONG_MS) -> "asyncio.Task[Features]":
    return asyncio.create_task(engine.translate(MANIFEST, rows(*values), timeout_ms))


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
