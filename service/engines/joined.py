"""Requests that wait for an engine are joined: what comes while it is busy is one call when it is free again."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from contract.manifest import TranslatorManifest
from contract.vectors import Features
from service.engines.base import Engine
from service.errors import EngineFailedError, EngineTimeoutError


@dataclass(slots=True)
class _Waiting:
    """A request in a line, until its answer is there or nobody wants it any more."""

    features: Features
    until: float  # monotonic seconds
    answer: asyncio.Future[Features]


@dataclass(slots=True)
class _Line:
    """What one translator version has to do: first come, first served."""

    manifest: TranslatorManifest
    calls: int = 0  # under way
    rows: int = 0  # of them
    waiting: deque[_Waiting] = field(default_factory=deque)

    @property
    def all_rows(self) -> int:
        """Under way and waiting."""
        return self.rows + _rows(self.waiting)

    @property
    def widest(self) -> int:
        """Rows of the widest request that waits; there is one."""
        return max(len(waiting.features) for waiting in self.waiting)

    def begin(self, rows: int) -> None:
        """A call is under way."""
        self.calls += 1
        self.rows += rows

    def end(self, rows: int) -> None:
        """It is not any more."""
        self.calls -= 1
        self.rows -= rows

    def take(self, rows_max: int) -> list[_Waiting]:
        """The next requests that are still wanted, as many as go into one call."""
        taken, rows = list[_Waiting](), 0
        while self.waiting and rows + len(self.waiting[0].features) <= rows_max:
            first = self.waiting.popleft()
            if not first.answer.done():
                taken.append(first)
                rows += len(first.features)
        return taken


class JoinedEngine:
    """An engine whose calls carry all the features that wait for it, so that they share the cost of a call.

    Nobody waits for company: a request that finds a call free goes at once. What waits is bounded by the gateway's
    features in flight.
    """

    def __init__(self, engine: Engine, *, rows_max: int, calls_at_once: int) -> None:
        """`rows_max`: of one call; `calls_at_once`: of one translator version."""
        self._engine = engine
        self._rows_max = rows_max
        self._calls_at_once = calls_at_once
        self._lines: dict[tuple[str, int], _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """The engine's own."""
        return self._engine.name

    async def load(self, manifest: TranslatorManifest) -> None:
        """Make a version ready to serve. Raises EngineError."""
        await self._engine.load(manifest)

    async def unload(self, translator: str, version: int) -> None:
        """Forget a version. Requests already under way finish."""
        await self._engine.unload(translator, version)
        self._lines.pop((translator, version), None)

    async def translate(self, manifest: TranslatorManifest, features: Features, timeout_ms: int) -> Features:
        """Translate features [N, ds], N ≤ rows_max, into [N, dt], perhaps in a call that others share."""
        line = self._lines.setdefault((manifest.id, manifest.version), _Line(manifest))
        if line.calls < self._calls_at_once:
            return await self._at_once(line, features, timeout_ms)
        until = time.monotonic() + timeout_ms / 1000
        waiting = _Waiting(features, until, asyncio.get_running_loop().create_future())
        line.waiting.append(waiting)
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await waiting.answer
        except TimeoutError:
            raise EngineTimeoutError("the engine did not answer before the deadline") from None

    async def ready(self) -> bool:
        """Whether a translation would be accepted now."""
        return await self._engine.ready()

    async def close(self) -> None:
        """End the calls under way and release every resource. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await self._engine.close()

    async def _at_once(self, line: _Line, features: Features, timeout_ms: int) -> Features:
        line.begin(len(features))
        try:
            return await self._engine.translate(line.manifest, features, timeout_ms)
        finally:
            line.end(len(features))
            self._go_on(line)

    def _go_on(self, line: _Line) -> None:
        """Begin the calls that are free for what waits."""
        while line.calls < self._calls_at_once and line.waiting:
            # No call takes more than its share of all there is to do: the others would have nothing.
            share = -(-line.all_rows // self._calls_at_once)
            if not (requests := line.take(max(line.widest, min(self._rows_max, share)))):
                continue  # nobody waits for those any more
            line.begin(_rows(requests))
            task = asyncio.create_task(self._together(line, requests))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _together(self, line: _Line, requests: list[_Waiting]) -> None:
        try:
            await self._settle(line.manifest, requests)
        finally:
            for request in requests:
                request.answer.cancel()  # those that are not done: the gateway closes
            line.end(_rows(requests))
            self._go_on(line)

    async def _settle(self, manifest: TranslatorManifest, requests: list[_Waiting]) -> None:
        """Answer the requests, or fail them. A call that fails may fail for one row: then each is asked for alone."""
        try:
            await self._answer(manifest, requests)
        except EngineFailedError as error:
            if len(requests) == 1:
                _fail(requests, error)
                return
            for request in requests:
                await self._settle(manifest, [request])
        except Exception as error:
            _fail(requests, error)

    async def _answer(self, manifest: TranslatorManifest, requests: list[_Waiting]) -> None:
        """Run the requests in one call and hand each its rows. Raises EngineError."""
        features = np.concatenate([request.features for request in requests])  # [N, ds]
        remaining_s = max(request.until for request in requests) - time.monotonic()
        translated = await self._engine.translate(manifest, features, max(1, int(1000 * remaining_s)))  # [N, dt]
        if len(translated) != len(features):
            raise EngineFailedError("the engine answered with another number of features")
        first = 0
        for request in requests:
            rows = translated[first : first + len(request.features)]
            first += len(request.features)
            if not request.answer.done():
                request.answer.set_result(rows)


def _rows(requests: Iterable[_Waiting]) -> int:
    return sum(len(request.features) for request in requests)


def _fail(requests: list[_Waiting], error: Exception) -> None:
    for request in requests:
        if not request.answer.done():
            request.answer.set_exception(error)
