"""Requests that wait for an engine are joined: what comes while it is busy is one call when it is free again."""

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from contract.manifest import TranslatorManifest
from contract.vectors import Features
from service.callers import CALLER
from service.engines.base import Engine
from service.engines.line import Line, Piece, Request
from service.errors import RETRY_AFTER_S, EngineFailedError, EngineOverloadedError, EngineTimeoutError


class JoinedEngine:
    """An engine whose calls carry the features that wait for it, so that they share the cost of a call.

    Nobody waits for company: a request that finds a call free goes at once. Callers take turns by features, and a
    caller's wide requests have turns of their own. What waits is bounded by the gateway's features in flight, and by
    time: a request that would wait for too long is refused.
    """

    def __init__(self, engine: Engine, *, rows_max: int, calls_at_once: int, wait_ms_max: int) -> None:
        """`rows_max`: of one call; `calls_at_once`: of one translator version; `wait_ms_max`: of a client's request."""
        self._engine = engine
        self._rows_max = rows_max
        self._calls_at_once = calls_at_once
        self._wait_s_max = wait_ms_max / 1000
        self._lines: dict[tuple[str, int], Line] = {}
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
        """Translate features [N, ds] into [N, dt], in calls that others may share.

        Raises:
            EngineOverloadedError: the caller's requests wait too long already, or as the engine raises it.
            EngineError.
        """
        line = self._line_of(manifest)
        if line.is_empty and line.calls < self._calls_at_once and len(features) <= line.call_rows_max:
            return await self._at_once(line, features, timeout_ms)
        caller, now_s = CALLER.get(), time.monotonic()
        lane = line.lane_of(caller, len(features))
        if caller is not None and line.is_behind(lane, len(features), now_s, self._wait_s_max):
            raise EngineOverloadedError("the engine is behind with earlier requests", retry_after_s=RETRY_AFTER_S)
        answer: asyncio.Future[Features] = asyncio.get_running_loop().create_future()
        line.add(lane, Request(features, now_s, now_s + timeout_ms / 1000, answer))
        self._go_on(line)
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await answer
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

    def _line_of(self, manifest: TranslatorManifest) -> Line:
        """The version's line; a new one where the catalogue has another manifest of that name."""
        key = (manifest.id, manifest.version)
        line = self._lines.get(key)
        if line is None or line.manifest is not manifest:
            line = self._lines[key] = Line(manifest, self._rows_max)
        return line

    async def _at_once(self, line: Line, features: Features, timeout_ms: int) -> Features:
        began_s, answered = line.begin(len(features)), False
        try:
            translated = await self._engine.translate(line.manifest, features, timeout_ms)
            answered = True
        finally:
            self._end(line, len(features), began_s, answered=answered)
        return translated

    def _go_on(self, line: Line) -> None:
        """Begin the calls that are free for what waits."""
        while line.calls < self._calls_at_once and (pieces := line.take(self._calls_at_once)):
            task = asyncio.create_task(self._together(line, pieces, line.begin(_rows(pieces))))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _together(self, line: Line, pieces: Sequence[Piece], began_s: float) -> None:
        answered = False
        try:
            answered = await self._settle(line.manifest, pieces)
        except asyncio.CancelledError:  # the gateway closes
            for piece in pieces:
                piece.request.answer.cancel()
            raise
        finally:
            self._end(line, _rows(pieces), began_s, answered=answered)

    def _end(self, line: Line, rows: int, began_s: float, *, answered: bool) -> None:
        line.end(rows, began_s, answered=answered)
        self._go_on(line)

    async def _settle(self, manifest: TranslatorManifest, pieces: Sequence[Piece]) -> bool:
        """Answer the pieces in one call, or fail them; returns whether it was answered.

        A call that fails may fail for one row: then each half is asked for alone.
        """
        pieces = [piece for piece in pieces if piece.request.is_wanted]
        try:
            if pieces:
                await self._answer(manifest, pieces)
        except EngineFailedError as error:
            if len(pieces) == 1:
                pieces[0].request.fail(error)
            else:
                middle = len(pieces) // 2
                await self._settle(manifest, pieces[:middle])
                await self._settle(manifest, pieces[middle:])
            return False
        except Exception as error:
            for piece in pieces:
                piece.request.fail(error)
            return False
        return bool(pieces)

    async def _answer(self, manifest: TranslatorManifest, pieces: Sequence[Piece]) -> None:
        """Run the pieces in one call and hand each request its rows. Raises EngineError."""
        features = np.concatenate([piece.features for piece in pieces])  # [N, ds]
        remaining_s = max(piece.request.until_s for piece in pieces) - time.monotonic()
        translated = await self._engine.translate(manifest, features, max(1, int(1000 * remaining_s)))  # [N, dt]
        if len(translated) != len(features):
            raise EngineFailedError("the engine answered with another number of features")
        first = 0
        for piece in pieces:
            piece.request.deliver(piece.start, translated[first : first + len(piece.features)])
            first += len(piece.features)


def _rows(pieces: Sequence[Piece]) -> int:
    return sum(len(piece.features) for piece in pieces)
