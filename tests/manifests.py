"""Manifests for tests that need no weights."""

from datetime import UTC, datetime
from pathlib import Path

from contract.manifest import MODEL_FILE, Method, Parity, Training, TranslatorManifest, sha256_of, write_manifest
from contract.spaces import FeatureSpace
from tests.repository import SOURCE, TARGET


def publish(repository: Path, manifest: TranslatorManifest) -> Path:
    """Write a version that verifies, but whose weights are none: for the echo engine. Returns its folder."""
    version_dir = repository / manifest.id / str(manifest.version)
    version_dir.mkdir(parents=True)
    (version_dir / MODEL_FILE).write_bytes(b"no weights")
    signed = manifest.model_copy(update={"sha256": sha256_of(version_dir / MODEL_FILE)})
    write_manifest(signed, version_dir)
    return version_dir


def make_manifest(
    source: FeatureSpace = SOURCE, target: FeatureSpace = TARGET, *, version: int = 1, **changes: object
) -> TranslatorManifest:
    """Facts of a translator that was never trained."""
    facts: dict[str, object] = {
        "schema_version": 1,
        "id": f"{source.id}--{target.id}",
        "version": version,
        "method": Method.AFFINE,
        "source": source,
        "target": target,
        "sha256": "0" * 64,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "training": Training(
            data_fingerprint="0" * 64, rows=1, identities=1, config={}, seed=0, seconds=0.0, software={}
        ),
        "quality": None,
        "calibration": None,
        "target_calibration": None,
        "confidence": None,
        "parity": Parity(max_abs_difference=0.0, proof=None),
    }
    return TranslatorManifest.model_validate(facts | changes)
