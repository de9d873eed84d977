"""The real inference that proves a version before it serves, and an engine before it is called ready."""

import numpy as np

from contract.manifest import TranslatorManifest
from contract.vectors import Features
from service.errors import EngineFailedError


def proof_features(manifest: TranslatorManifest, rows: int = 1) -> Features:
    """Features [rows, ds] of ones: any direction will do, only the answer's form is judged."""
    return np.ones((rows, manifest.source.dim), dtype=np.float32)


def check_proof(manifest: TranslatorManifest, translated: Features, rows: int = 1) -> None:
    """Refuse an answer that is not finite [rows, dt]. Raises EngineFailedError."""
    expected = (rows, manifest.target.dim)
    if translated.shape != expected:
        raise EngineFailedError(f"answers with shape {list(translated.shape)} where {list(expected)} is expected")
    if not np.isfinite(translated).all():
        raise EngineFailedError("answers with NaN or infinity")
