"""The seam behind which translation runs."""

from typing import Protocol

from contract.manifest import TranslatorManifest
from contract.vectors import Features


class Engine(Protocol):
    """Runs translator versions that the catalogue has verified. Bounded: never waits without a deadline."""

    @property
    def name(self) -> str:
        """`onnxruntime`, `torchscript`, `triton` or `echo`; the metric label."""
        ...

    async def load(self, manifest: TranslatorManifest) -> None:
        """Make a version ready to serve and prove it by a real inference of the right shape.

        Raises:
            EngineError: it cannot be served; the version already serving stays untouched.
        """
        ...

    async def unload(self, translator: str, version: int) -> None:
        """Forget a version. Requests already under way finish."""
        ...

    async def translate(self, manifest: TranslatorManifest, features: Features, timeout_ms: int) -> Features:
        """Translate features [N, ds] into [N, dt], float32, unit length.

        Raises:
            EngineOverloadedError: its queue is full; nothing was run.
            EngineTimeoutError: the deadline passed.
            EngineUnavailableError: the engine or this version cannot be reached.
            EngineFailedError: the engine answered with an error of its own.
        """
        ...

    async def ready(self) -> bool:
        """Whether a translation would be accepted now."""
        ...

    async def close(self) -> None:
        """Release every resource. Idempotent."""
        ...
