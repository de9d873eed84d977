"""Engines for tests that need one to misbehave at will; they ship nothing."""

import asyncio
from collections.abc import Callable

import numpy as np

from contract.manifest import TranslatorManifest
from contract.vectors import Features
from service.engines.echo import EchoEngine
from service.errors import EngineError


class ScriptedEngine:
    """The echo engine, except where the test has left word: a failing load, another answer, a closed gate."""

    name = "scripted"

    def __init__(self) -> None:
        self.loads: list[tuple[str, int]] = []
        self.unloads: list[tuple[str, int]] = []
        self.batches: list[int] = []
        self.load_errors: dict[int, EngineError] = {}  # by version
        self.answer: Callable[[Features], Features] | None = None
        self.error: EngineError | None = None
        self.is_ready = True
        self.running = 0
        self.running_most = 0
        self._echo = EchoEngine()

    async def load(self, manifest: TranslatorManifest) -> None:
        """Load, or fail as scripted."""
        self.loads.append((manifest.id, manifest.version))
        if manifest.version in self.load_errors:
            raise self.load_errors[manifest.version]
        await self._echo.load(manifest)

    async def unload(self, translator: str, version: int) -> None:
        """Unload, or fail as scripted."""
        if self.error is not None:
            raise self.error
        self.unloads.append((translator, version))
        await self._echo.unload(translator, version)

    async def translate(self, manifest: TranslatorManifest, features: Features, timeout_ms: int) -> Features:
        """Echo, or what was scripted."""
        self.batches.append(len(features))
        self.running += 1
        self.running_most = max(self.running, self.running_most)
        await asyncio.sleep(0)
        self.running -= 1
        if self.error is not None:
            raise self.error
        echoed = await self._echo.translate(manifest, features, timeout_ms)
        return echoed if self.answer is None else np.asarray(self.answer(echoed))

    async def ready(self) -> bool:
        """As scripted."""
        return self.is_ready

    async def close(self) -> None:
        """Nothing is held."""
