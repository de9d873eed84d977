"""Translators in a Triton Inference Server, over gRPC, with explicit model control. No torch in this process."""

import asyncio
import importlib
from pathlib import Path
from typing import Any, Self

import numpy as np

from contract.manifest import TranslatorManifest
from contract.proof import proof_features
from contract.vectors import Features
from service.engines.proof import check_proof
from service.engines.triton_config import config_for
from service.errors import (
    EngineError,
    EngineFailedError,
    EngineOverloadedError,
    EngineTimeoutError,
    EngineUnavailableError,
)

TENSOR = "FEATURE"
LOAD_TIMEOUT_S = 120
PROOF_TIMEOUT_MS = 10_000
READY_TIMEOUT_MS = 2_000
MESSAGE_BYTES_MAX = 64 * 1024 * 1024  # 512 rows of 8,192 float32 are 16 MiB
CHANNEL = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    # gRPC's own back-off grows to two minutes: a restarted Triton would stay unused that long.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
# What Triton says is all that tells these from one another: they share a status.
QUEUE_FULL = "exceeds maximum queue size"
QUEUE_TIMEOUT = "request timeout expired"


class TritonEngine:
    """Loads exactly the versions that the catalogue has verified, and asks for each by its number."""

    name = "triton"

    def __init__(self, client_module: Any, url: str, repository: Path) -> None:  # noqa: ANN401 - tritonclient has no types
        self._client_module = client_module
        self._client = client_module.InferenceServerClient(url, channel_args=CHANNEL)
        self._repository = repository
        self._loaded: dict[tuple[str, int], TranslatorManifest] = {}

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
            raise _engine_error(error) from None

    async def translate(self, manifest: TranslatorManifest, features: Features, timeout_ms: int) -> Features:
        """Translate features [N, ds], N up to the translator's max_batch_size, into [N, dt]."""
        tensor = self._client_module.InferInput(TENSOR, list(features.shape), "FP32")
        tensor.set_data_from_numpy(features)
        try:
            answer = await self._client.infer(
                manifest.id,
                [tensor],
                model_version=str(manifest.version),
                outputs=[self._client_module.InferRequestedOutput(TENSOR)],
                timeout=timeout_ms * 1000,  # microseconds: leaves Triton's queue when it is too late anyway
                client_timeout=timeout_ms / 1000,
            )
        except self._client_module.InferenceServerException as error:
            raise _engine_error(error) from None
        return np.asarray(answer.as_numpy(TENSOR), dtype=np.float32)

    async def ready(self) -> bool:
        """Whether every loaded version answers a real inference; Triton's own readiness outlives a dead backend."""
        answers = await asyncio.gather(*(self._answers(manifest) for manifest in list(self._loaded.values())))
        return bool(answers) and all(answers)

    async def close(self) -> None:
        """Close the channel. Idempotent."""
        await self._client.close()

    async def _load(self, translator: str, versions: set[int]) -> None:
        config = config_for(self._repository / translator, versions)
        try:
            await self._client.load_model(translator, config=config, client_timeout=LOAD_TIMEOUT_S)
        except self._client_module.InferenceServerException as error:
            raise _engine_error(error) from None

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


def _engine_error(error: Any) -> EngineError:  # noqa: ANN401 - tritonclient has no types
    """Tell Triton's failures apart. Its own words stay here: they can quote a request."""
    status, message = str(error.status()), str(error.message()).lower()
    if QUEUE_FULL in message:
        return EngineOverloadedError("the engine's queue is full", retry_after_s=1)
    if QUEUE_TIMEOUT in message or status == "StatusCode.DEADLINE_EXCEEDED":
        return EngineTimeoutError("the engine did not answer before the deadline")
    if status in {"StatusCode.UNAVAILABLE", "StatusCode.NOT_FOUND"}:
        return EngineUnavailableError("the engine or this version cannot be reached", retry_after_s=1)
    return EngineFailedError("the engine answered with an error")
