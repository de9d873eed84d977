"""Translators in this process: TorchScript on bounded threads. The one place where the service meets torch."""

import asyncio
import importlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from contract.manifest import MODEL_FILE, TranslatorManifest
from contract.proof import proof_features
from contract.vectors import Features
from service.engines.proof import check_proof
from service.errors import EngineFailedError, EngineOverloadedError, EngineTimeoutError, EngineUnavailableError

if TYPE_CHECKING:
    from torch.jit import ScriptModule

logger = logging.getLogger(__name__)

LOAD_TIMEOUT_MS = 120_000
# TorchScript specialises itself during its first runs, and again for more than one row.
PROOF_ROWS = (1, 1, 2, 2)

Answer = TypeVar("Answer")


class TorchScriptEngine:
    """Runs at most `threads` inferences at once; `queue_max` more may wait, the rest is refused."""

    name = "torchscript"

    def __init__(self, torch: Any, repository: Path, threads: int, queue_max: int) -> None:  # noqa: ANN401 - the module torch, whose import is not this file's to make
        self._torch = torch
        self._repository = repository
        self._pending_max = threads + queue_max
        self._pending = 0
        self._lock = threading.Lock()
        self._modules: dict[tuple[str, int], ScriptModule] = {}
        # One intra-op thread each: the threads are the parallelism, and OpenMP's own would spin against it.
        self._pool = ThreadPoolExecutor(threads, "torchscript", initializer=torch.set_num_threads, initargs=(1,))
        self._loader = ThreadPoolExecutor(1, "torchscript-load", initializer=torch.set_num_threads, initargs=(1,))
        self._closed = False

    @classmethod
    async def open(cls, repository: Path, *, threads: int, queue_max: int) -> Self:
        """Import torch and start the threads."""
        return cls(await asyncio.to_thread(importlib.import_module, "torch"), repository, threads, queue_max)

    async def load(self, manifest: TranslatorManifest) -> None:
        """Load a version's TorchScript and prove it. Raises EngineFailedError, EngineTimeoutError."""
        module = await self._wait(self._loader.submit(self._load, manifest), LOAD_TIMEOUT_MS)
        self._modules[manifest.id, manifest.version] = module

    async def unload(self, translator: str, version: int) -> None:
        """Forget a version. Requests already under way hold it until they end."""
        self._modules.pop((translator, version), None)

    async def translate(self, manifest: TranslatorManifest, features: Features, timeout_ms: int) -> Features:
        """Translate features [N, ds] into [N, dt] on one thread."""
        module = self._modules.get((manifest.id, manifest.version))
        if module is None or self._closed:
            raise EngineUnavailableError(f"{manifest.id}/{manifest.version} is not loaded")
        return await self._wait(self._submit(lambda: self._run(module, features)), timeout_ms)

    async def ready(self) -> bool:
        """Whether the engine is open; what it holds has been proven when it was loaded."""
        return not self._closed

    async def close(self) -> None:
        """Let the inferences under way end; those that wait are cancelled."""
        self._closed = True
        self._modules.clear()
        for pool in (self._pool, self._loader):
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)

    def _submit(self, work: Callable[[], Answer]) -> Future[Answer]:
        with self._lock:
            if self._pending >= self._pending_max:
                raise EngineOverloadedError("the engine's queue is full", retry_after_s=1)
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

    def _load(self, manifest: TranslatorManifest) -> "ScriptModule":
        file = self._repository / manifest.id / str(manifest.version) / MODEL_FILE
        try:
            module: ScriptModule = self._torch.jit.load(str(file), map_location="cpu").eval()
        except (RuntimeError, ValueError, OSError) as error:
            logger.warning("%s/%d does not load: %s", manifest.id, manifest.version, type(error).__name__)
            raise EngineFailedError(f"{MODEL_FILE} is no TorchScript that loads") from None
        for rows in PROOF_ROWS:
            check_proof(manifest, self._run(module, proof_features(manifest.source.dim, rows)), rows)
        return module

    def _run(self, module: "ScriptModule", features: Features) -> Features:
        try:
            with self._torch.inference_mode():
                translated = module(self._torch.tensor(features))  # [N, ds] -> [N, dt]
                return np.asarray(translated.numpy(), dtype=np.float32)
        except Exception as error:
            # Whatever a model may raise. Its message can quote tensors: the type is all that may be said.
            logger.error("inference failed: %s", type(error).__name__)  # noqa: TRY400 - see above
            raise EngineFailedError("the translator failed on this request") from None
