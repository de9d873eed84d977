"""The real inference that proves a version before it serves, and an engine before it is called ready."""

import numpy as np

from contract.manifest import TranslatorManifest
from contract.proof import PROOF_TOLERANCE
from contract.vectors import Features
from service.errors import EngineFailedError


def check_proof(manifest: TranslatorManifest, translated: Features, rows: int = 1) -> None:
    """Refuse an answer to `proof_features` that is not finite [rows, dt], or not the one that the manifest records.

    The catalogue has hashed its own copy of the weights; an engine elsewhere may have loaded others before.

    Raises:
        EngineFailedError.
    """
    expected = (rows, manifest.target.dim)
    if translated.shape != expected:
        raise EngineFailedError(f"answers with shape {list(translated.shape)} where {list(expected)} is expected")
    if not np.isfinite(translated).all():
        raise EngineFailedError("answers with NaN or infinity")
    recorded = manifest.parity.proof
    if recorded is not None and np.abs(translated - np.array(recorded)).max() > PROOF_TOLERANCE:
        raise EngineFailedError("answers otherwise than the exported translator: other weights are loaded")
