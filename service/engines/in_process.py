"""What engines in this process share, whatever the runtime: bounded threads, deadlines, proofs, what they hold."""

import asyncio
import importlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from contract.manifest import TranslatorManifest
from contract.proof import proof_features
from contract.vectors import Features
from service.engines.proof import check_proof
from service.errors import (
    RETRY_AFTER_S,
    EngineFailedError,
    EngineOverloadedError,
    EngineTimeoutError,
    EngineUnavailableError,
)

logger = logging.getLogger(__name__)

LOAD_TIMEOUT_MS = 120_000
# A runtime may prepare itself during its first runs, and again for more than one row.
PROOF_ROWS = (1, 1, 2, 2)

Run = Callable[[Features], Features]  # [N, ds] to [N, dt] by a version that is loaded, on any thread
OpenVersion = Callable[[TranslatorManifest], Run]  # raises EngineFailedError
Answer = TypeVar("Answer")


async def import_runtime(module: str, extra: str) -> Any:  # noqa: ANN401 - a module
    """A runtime that only its engine needs. Raises EngineUnavailableError: it is not installed."""
    try:
        return await asyncio.to_thread(importlib.import_module, module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise EngineUnavailableError(f"{module} is missing: pip install 'r3an[{extra}]'") from None


def in_pieces(run: Run, rows: int) -> Run:
    """The same run with at most `rows` features in one pass, for what more need does not fit into a core's cache."""

    def run_in_pieces(features: Features) -> Features:
        pieces = [run(features[start : start + rows]) for start in range(0, len(features), rows)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    return run_in_pieces


class InProcessEngine:
    """Runs at most `threads` inferences at once; `queue_max` more may wait, the rest is refused."""

    def __init__(
        self,
        name: str,
        open_version: OpenVersion,
        *,
        threads: int,
        queue_max: int,
        prepare_thread: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._open_version = open_version
        self._pending_max = threads + queue_max
        self._pending = 0
        self._lock = threading.Lock()
        self._runs: dict[tuple[str, int], Run] = {}
        self._pool = ThreadPoolExecutor(threads, name, initializer=prepare_thread)
        self._loader = ThreadPoolExecutor(1, f"{name}-load", initializer=prepare_thread)
        self._closed = False

    async def load(self, manifest: TranslatorManifest) -> None:
        """Load a version and prove it. Raises EngineFailedError, EngineTimeoutError."""
        run = await self._wait(self._loader.submit(self._load, manifest), LOAD_TIMEOUT_MS)
        self._runs[manifest.id, manifest.version] = run

    async def unload(self, translator: str, version: int) -> None:
        """Forget a version. Requests already under way hold it until they end."""
        self._runs.pop((translator, version), None)

    async def translate(self, manifest: TranslatorManifest, features: Features, timeout_ms: int) -> Features:
        """Translate features [N, ds] into [N, dt] on one thread."""
        run = self._runs.get((manifest.id, manifest.version))
        if run is None or self._closed:
            raise EngineUnavailableError(f"{manifest.id}/{manifest.version} is not loaded")
        return await self._wait(self._submit(lambda: self._translate(run, features)), timeout_ms)

    async def ready(self) -> bool:
        """Whether the engine is open; what it holds has been proven when it was loaded."""
        return not self._closed

    async def close(self) -> None:
        """Let the inferences under way end; those that wait are cancelled."""
        self._closed = True
        self._runs.clear()
        for pool in (self._pool, self._loader):
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)

    def _submit(self, work: Callable[[], Answer]) -> Future[Answer]:
        with self._lock:
            if self._pending >= self._pending_max:
                raise EngineOverloadedError("the engine's queue is full", retry_after_s=RETRY_AFTER_S)
            self._pending += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._release)
        return future

    def _release(self, _: Future[Any]) -> None:
        with self._lock:
            self._pending -= 1

    async def _wait(self, future: Future[Answer], timeout_ms: int) -> Answer:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), timeout_ms / 1000)
        except TimeoutError:
            raise EngineTimeoutError("the engine did not answer before the deadline") from None

    def _load(self, manifest: TranslatorManifest) -> Run:
        run = self._open_version(manifest)
        for rows in PROOF_ROWS:
            check_proof(manifest, self._translate(run, proof_features(manifest.source.dim, rows)), rows)
        return run

    def _translate(self, run: Run, features: Features) -> Features:
        try:
            return run(features)
        except Exception as error:
            # Whatever a model may raise. Its message can quote tensors: the type is all that may be said.
            logger.error("inference failed: %s", type(error).__name__)  # noqa: TRY400 - see above
            raise EngineFailedError("the translator failed on this request") from None
