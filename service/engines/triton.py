"""Translators in a Triton Inference Server, over gRPC, with explicit model control. No torch in this process."""

import asyncio
import importlib
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np

from contract.manifest import TranslatorManifest
from contract.proof import proof_features
from contract.vectors import FLOAT32_BYTES, Features
from service.bounds import Deadline
from service.engines.proof import check_proof
from service.engines.triton_config import config_for
from service.engines.triton_errors import engine_error, has_answered, lacks_region
from service.engines.triton_memory import CALL_BYTES_MIN, Slot, TritonMemory
from service.errors import (
    DeadlineExceededError,
    EngineError,
    EngineFailedError,
    EngineOverloadedError,
    EngineTimeoutError,
)

TENSOR = "FEATURE"
LOAD_TIMEOUT_S = 120
PROOF_TIMEOUT_MS = 10_000
READY_TIMEOUT_MS = 2_000
MESSAGE_BYTES_MAX = 64 * 1024 * 1024  # 512 rows of 8,192 float32 are 16 MiB
# To share memory, in a row: a Triton elsewhere refuses each.
SHARE_ATTEMPTS = 16
# After a deadline; a call that Triton leaves unanswered for longer keeps its slot for good.
LATE_ANSWER_S = 60.0
CHANNEL = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    # gRPC's own back-off grows to two minutes: a restarted Triton would stay unused that long.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class TritonEngine:
    """Loads exactly the versions that the catalogue has verified, and asks for each by its number."""

    name = "triton"

    def __init__(self, client_module: Any, url: str, repository: Path) -> None:  # noqa: ANN401 - tritonclient has no types
        self._client_module = client_module
        self._client = client_module.InferenceServerClient(url, channel_args=CHANNEL)
        self._repository = repository
        self._loaded: dict[tuple[str, int], TranslatorManifest] = {}
        self._memory: TritonMemory | None = None
        self._attempts_left = SHARE_ATTEMPTS
        self._sharing = False
        self._calls: set[asyncio.Task[Features | None]] = set()  # in shared memory

    @classmethod
    async def open(cls, url: str, repository: Path) -> Self:
        """Prepare a channel to host:port of a Triton over the same repository; nothing is sent before a load."""
        return cls(importlib.import_module("tritonclient.grpc.aio"), url, repository)

    async def load(self, manifest: TranslatorManifest) -> None:
        """Have Triton load this version beside those that already serve, and prove it. Raises EngineError.

        A version that answers as its manifest says, since Triton loaded it at its own start or for another gateway, is
        taken as it is: loading it again would take seconds.
        """
        if self._loaded.get((manifest.id, manifest.version)) in (None, manifest) and await self._serves(manifest):
            self._loaded[manifest.id, manifest.version] = manifest
            return
        serving = {version for name, version in self._loaded if name == manifest.id}
        try:
            await self._load(manifest.id, serving | {manifest.version})
        except EngineFailedError:
            if serving <= {manifest.version}:
                raise
            # A version that still serves, but whose files have gone bad, must not keep its successor out.
            await self._load(manifest.id, {manifest.version})
        await self._prove(manifest)
        self._loaded[manifest.id, manifest.version] = manifest

    async def unload(self, translator: str, version: int) -> None:
        """Forget a version. Triton drops it at the next load, or with the translator's last one, unhurried."""
        self._loaded.pop((translator, version), None)
        if any(name == translator for name, _ in self._loaded):
            return
        try:
            await self._client.unload_model(translator, client_timeout=LOAD_TIMEOUT_S)
        except self._client_module.InferenceServerException as error:
            raise engine_error(error) from None

    async def translate(self, manifest: TranslatorManifest, features: Features, timeout_ms: int) -> Features:
        """Translate features [N, ds], N up to the translator's max_batch_size, into [N, dt]."""
        deadline = Deadline(time.monotonic() + timeout_ms / 1000)
        try:
            if (memory := self._memory) is not None:
                translated = await self._translate_in_memory(memory, manifest, features, timeout_ms)
                if translated is not None:
                    return translated
            return await self._translate_by_message(manifest, features, deadline.remaining_ms())
        except self._client_module.InferenceServerException as error:
            raise engine_error(error) from None
        except (TimeoutError, DeadlineExceededError):
            raise EngineTimeoutError("the engine did not answer before the deadline") from None

    async def ready(self) -> bool:
        """Whether every loaded version answers a real inference; Triton's own readiness outlives a dead backend."""
        answers = await asyncio.gather(*(self._answers(manifest) for manifest in list(self._loaded.values())))
        return bool(answers) and all(answers)

    async def close(self) -> None:
        """Close the channel; a memory whose calls are all answered is Triton's no longer. Idempotent."""
        for call in self._calls:
            call.cancel()
        memory, self._memory = self._memory, None
        if memory is not None:
            await self._take_back(memory)
        await self._client.close()

    async def _translate_by_message(
        self, manifest: TranslatorManifest, features: Features, timeout_ms: int
    ) -> Features:
        tensor = self._client_module.InferInput(TENSOR, list(features.shape), "FP32")
        tensor.set_data_from_numpy(features)
        answer = await self._infer(manifest, tensor, self._client_module.InferRequestedOutput(TENSOR), timeout_ms)
        return np.asarray(answer.as_numpy(TENSOR), dtype=np.float32)

    async def _translate_in_memory(
        self, memory: TritonMemory, manifest: TranslatorManifest, features: Features, timeout_ms: int
    ) -> Features | None:
        """Translate in memory shared with Triton; None where it has no slot for this call, or Triton has it no more."""
        if (slot := memory.take(features, manifest.target.dim, TENSOR)) is None:
            return None
        # Whoever gives up leaves the call behind: the slot is free again when Triton has answered.
        call = asyncio.create_task(self._call_in(memory, slot, manifest, timeout_ms))
        self._calls.add(call)
        call.add_done_callback(self._forget)
        return await asyncio.wait_for(asyncio.shield(call), timeout_ms / 1000)

    async def _call_in(
        self, memory: TritonMemory, slot: Slot, manifest: TranslatorManifest, timeout_ms: int
    ) -> Features | None:
        try:
            answer = await self._infer(manifest, slot.tensor, slot.output, timeout_ms, LATE_ANSWER_S)
            translated = slot.answered.copy()
        except self._client_module.InferenceServerException as error:
            if has_answered(error):
                memory.give_back(slot)
            if not lacks_region(error):
                raise
            if self._memory is memory:
                self._memory = None  # Triton was restarted
            return None
        memory.give_back(slot)
        if tuple(answer.get_output(TENSOR).shape) != translated.shape:
            raise EngineFailedError("the engine answered with another shape")
        return translated

    def _forget(self, call: "asyncio.Task[Features | None]") -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # is known to whoever waits, if anybody does

    async def _infer(
        self,
        manifest: TranslatorManifest,
        tensor: Any,  # noqa: ANN401 - tritonclient has no types
        output: Any,  # noqa: ANN401 - as above
        timeout_ms: int,
        patience_s: float = 0.0,
    ) -> Any:  # noqa: ANN401 - as above
        return await self._client.infer(
            manifest.id,
            [tensor],
            model_version=str(manifest.version),
            outputs=[output],
            timeout=timeout_ms * 1000,  # microseconds; for a configuration whose queue has a policy
            client_timeout=timeout_ms / 1000 + patience_s,
        )

    async def _load(self, translator: str, versions: set[int]) -> None:
        config = config_for(self._repository / translator, versions)
        try:
            await self._client.load_model(translator, config=config, client_timeout=LOAD_TIMEOUT_S)
        except self._client_module.InferenceServerException as error:
            raise engine_error(error) from None

    async def _serves(self, manifest: TranslatorManifest) -> bool:
        """Whether Triton has these very weights. Raises EngineOverloadedError: it is too busy to tell."""
        try:
            await self._prove(manifest, READY_TIMEOUT_MS)
        except EngineOverloadedError:
            raise
        except EngineError:
            return False
        return True

    async def _answers(self, manifest: TranslatorManifest) -> bool:
        try:
            return await self._serves(manifest)
        except EngineOverloadedError:
            return True  # a full queue refuses the proof too, and is a sign of life

    async def _prove(self, manifest: TranslatorManifest, timeout_ms: int = PROOF_TIMEOUT_MS) -> None:
        check_proof(manifest, await self.translate(manifest, proof_features(manifest.source.dim), timeout_ms))
        await self._share_memory(manifest)

    async def _share_memory(self, manifest: TranslatorManifest) -> None:
        """Share memory with a Triton on this host that has proven a version, which is proven in it once more."""
        if self._sharing or self._memory is not None or not self._attempts_left:
            return
        self._sharing, self._attempts_left = True, self._attempts_left - 1
        try:
            memory = await TritonMemory.share(self._client, self._client_module)
            if memory is not None and await self._proves_in(memory, manifest):
                self._memory, self._attempts_left = memory, SHARE_ATTEMPTS
            elif memory is not None:
                await self._take_back(memory)
        finally:
            self._sharing = False

    async def _proves_in(self, memory: TritonMemory, manifest: TranslatorManifest) -> bool:
        rows = -(-CALL_BYTES_MIN // (manifest.source.dim * FLOAT32_BYTES))
        proof = proof_features(manifest.source.dim, rows)
        try:
            translated = await self._translate_in_memory(memory, manifest, proof, READY_TIMEOUT_MS)
            if translated is not None:  # else no call of this translator would cross in it
                check_proof(manifest, translated, rows)
        except (EngineFailedError, TimeoutError, self._client_module.InferenceServerException):
            return False
        return True

    async def _take_back(self, memory: TritonMemory) -> None:
        """Let Triton unmap a memory, unless it may still write into it."""
        if memory.is_idle:
            with suppress(self._client_module.InferenceServerException):
                await self._client.unregister_system_shared_memory(memory.name, client_timeout=READY_TIMEOUT_MS / 1000)
