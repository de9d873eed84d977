"""A double that ships: same checks, no model. For development and for tests of everything around an engine."""

import numpy as np

from contract.manifest import TranslatorManifest
from contract.vectors import NORM_MIN, Features, l2_normalize
from service.errors import EngineUnavailableError


class EchoEngine:
    """Answers with the first target.dim numbers of each row, padded with zeros and scaled to unit length."""

    name = "echo"

    def __init__(self) -> None:
        self._loaded: set[tuple[str, int]] = set()

    async def load(self, manifest: TranslatorManifest) -> None:
        """Make a version ready to serve."""
        self._loaded.add((manifest.id, manifest.version))

    async def unload(self, translator: str, version: int) -> None:
        """Forget a version."""
        self._loaded.discard((translator, version))

    async def translate(self, manifest: TranslatorManifest, features: Features, timeout_ms: int) -> Features:
        """Echo features [N, ds] as [N, dt]. Raises EngineUnavailableError: the version is not loaded."""
        if (manifest.id, manifest.version) not in self._loaded:
            raise EngineUnavailableError(f"{manifest.id}/{manifest.version} is not loaded")
        echoed = np.zeros((len(features), manifest.target.dim), dtype=np.float32)
        width = min(features.shape[1], manifest.target.dim)
        echoed[:, :width] = features[:, :width]
        echoed[np.linalg.norm(echoed, axis=1) < NORM_MIN, 0] = 1  # a row of leading zeros still gets a direction
        return l2_normalize(echoed)

    async def ready(self) -> bool:
        """Always."""
        return True

    async def close(self) -> None:
        """Nothing is held."""
