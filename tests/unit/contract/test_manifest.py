"""What a translator version must agree on before it is served."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from contract.confidence import ConfidenceModel
from contract.errors import ManifestError
from contract.manifest import (
    MANIFEST_BYTES_MAX,
    MANIFEST_FILE,
    MODEL_FILE,
    ONNX_FILE,
    Abstention,
    Identification,
    Interval,
    Onnx,
    Quality,
    TranslatorManifest,
    read_manifest,
    sha256_of,
    write_manifest,
)
from contract.spaces import FeatureSpace
from contract.vectors import encode_float32
from tests.manifests import make_manifest


@pytest.fixture
def version_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "source-24--target-16" / "3"
    folder.mkdir(parents=True)
    (folder / MODEL_FILE).write_bytes(b"weights")
    write_manifest(make_manifest(version=3, sha256=sha256_of(folder / MODEL_FILE)), folder)
    return folder


def change(version_dir: Path, **fields: object) -> None:
    file = version_dir / MANIFEST_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_what_was_written_is_read(version_dir: Path) -> None:
    manifest = read_manifest(version_dir)
    assert manifest == make_manifest(version=3, sha256=sha256_of(version_dir / MODEL_FILE))
    assert manifest.method.value == "affine"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"version": 4}, "manifest names source-24--target-16/4"),
        ({"id": "other"}, "manifest names other/3"),
        ({"sha256": "1" * 64}, "does not have the manifest's sha256"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"schema_version": 2}, "schema_version"),
        ({"method": "magic"}, "method"),
        ({"source": {"id": "source-24", "dim": "24"}}, "source.dim"),
        ({"target": {"id": "source-24", "dim": 24}}, "source and target are the same space"),
        ({"parity": {"max_abs_difference": 0.1}}, "parity.max_abs_difference"),
    ],
)
def test_a_version_whose_facts_disagree_is_refused_by_name(
    version_dir: Path, fields: dict[str, object], reason: str
) -> None:
    change(version_dir, **fields)
    with pytest.raises(ManifestError, match="source-24--target-16/3: ") as refused:
        read_manifest(version_dir)
    assert reason in str(refused.value)


def test_changed_weights_are_refused(version_dir: Path) -> None:
    (version_dir / MODEL_FILE).write_bytes(b"weightz")
    with pytest.raises(ManifestError, match="sha256"):
        read_manifest(version_dir)


@pytest.fixture
def with_onnx(version_dir: Path) -> Path:
    (version_dir / ONNX_FILE).write_bytes(b"weights as ONNX")
    facts = Onnx(sha256=sha256_of(version_dir / ONNX_FILE), max_abs_difference=0.0)
    write_manifest(read_manifest(version_dir).model_copy(update={"onnx": facts}), version_dir)
    return version_dir


def test_a_version_with_onnx_is_read(with_onnx: Path) -> None:
    assert read_manifest(with_onnx).onnx is not None


def test_changed_onnx_is_refused(with_onnx: Path) -> None:
    (with_onnx / ONNX_FILE).write_bytes(b"other weights")
    with pytest.raises(ManifestError, match=r"model\.onnx does not have the manifest's sha256"):
        read_manifest(with_onnx)


def test_onnx_that_the_manifest_promises_and_is_not_there_is_refused(with_onnx: Path) -> None:
    (with_onnx / ONNX_FILE).unlink()
    with pytest.raises(ManifestError, match=r"No such file or directory: model\.onnx"):
        read_manifest(with_onnx)


def test_a_pipe_in_the_place_of_onnx_is_refused_and_not_waited_for(version_dir: Path) -> None:
    os.mkfifo(version_dir / ONNX_FILE)
    with pytest.raises(ManifestError, match=r"model\.onnx is no file"):
        read_manifest(version_dir)


@pytest.mark.parametrize("file", [MANIFEST_FILE, MODEL_FILE])
def test_a_missing_file_is_named(version_dir: Path, file: str) -> None:
    (version_dir / file).unlink()
    with pytest.raises(ManifestError, match=f"No such file or directory: {file}"):
        read_manifest(version_dir)


@pytest.mark.parametrize("file", [MANIFEST_FILE, MODEL_FILE])
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(version_dir: Path, file: str) -> None:
    (version_dir / file).unlink()
    os.mkfifo(version_dir / file)
    with pytest.raises(ManifestError, match=f"{file} is no file"):
        read_manifest(version_dir)


def test_a_manifest_that_is_no_json_is_refused(version_dir: Path) -> None:
    (version_dir / MANIFEST_FILE).write_text("{")
    with pytest.raises(ManifestError, match="manifest: Invalid JSON"):
        read_manifest(version_dir)


def test_a_manifest_beyond_its_bound_is_not_read(version_dir: Path) -> None:
    os.truncate(version_dir / MANIFEST_FILE, MANIFEST_BYTES_MAX + 1)
    with pytest.raises(ManifestError, match="exceeds"):
        read_manifest(version_dir)


def test_confidence_of_another_dimension_is_refused() -> None:
    confidence = ConfidenceModel(
        dim=2,
        mean=encode_float32(np.zeros(2, dtype=np.float32)),
        components=encode_float32(np.eye(2, dtype=np.float32)),
        variances=encode_float32(np.ones(2, dtype=np.float32)),
        residual_variance=1.0,
        distances=encode_float32(np.array([1, 2], dtype=np.float32)),
    )
    with pytest.raises(ValidationError, match="another dimension"):
        make_manifest(confidence=confidence)
    assert make_manifest(FeatureSpace(id="source-2", dim=2), confidence=confidence).confidence == confidence


def test_a_manifest_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_manifest().version = 2  # type: ignore[misc] # that it cannot be set is the point


def test_the_manifest_survives_json() -> None:
    manifest = make_manifest()
    assert TranslatorManifest.model_validate_json(manifest.model_dump_json()) == manifest


def make_quality(**more: object) -> Quality:
    judged = Identification(rank_1=Interval(value=0.9, low=0.8, high=1.0), tar_at_far={}, fnir_at_fpir={})
    facts = {"probes": 5, "gallery_subjects": 4, "distractors": 0, "source_native": None, "baselines": {}}
    return Quality.model_validate(facts | {"translated": judged, "target_native": judged} | more)


def test_a_manifest_that_was_written_before_more_was_measured_is_read() -> None:
    before = json.loads(make_manifest(quality=make_quality()).model_dump_json())
    for later in ("abstention", "auroc", "gallery_direction", "both_translated"):
        assert before["quality"].pop(later) is None
    for later in ("native_to_translated", "translated_to_translated"):
        assert before.pop(later) is None
    assert TranslatorManifest.model_validate_json(json.dumps(before)).quality == make_quality()


CURVE = {"kept": (1.0, 0.5), "rank_1": (0.8, 0.9), "low": (0.7, 0.8), "high": (0.9, 1.0)}


def test_what_abstaining_buys_survives_json() -> None:
    quality = make_quality(abstention=CURVE, auroc={"wrong-space": Interval(value=1.0, low=1.0, high=1.0)})
    manifest = make_manifest(quality=quality)
    assert TranslatorManifest.model_validate_json(manifest.model_dump_json()) == manifest


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rank_1": (0.8,)}, "different lengths"),
        ({"kept": (), "rank_1": (), "low": (), "high": ()}, "empty"),
        ({"kept": (0.5, 1.0)}, "must fall"),
        ({"kept": (1.0, 1.0)}, "must fall"),
        ({"kept": (1.0, 0.0)}, "must fall"),
        ({"low": (0.7, 0.95)}, "in its band"),
        ({"high": (0.9, 1.1)}, "in its band"),
    ],
)
def test_an_abstention_curve_that_is_none_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Abstention.model_validate(CURVE | change)
