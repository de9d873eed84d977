"""A published version: the exported module is the trained one, whole, hashed, described for Triton, never replaced."""

import errno
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from torch import Tensor, nn
from tritonclient.grpc import model_config_pb2

from contract.manifest import Method, Training, parse_manifest, read_manifest, sha256_of, write_manifest
from contract.proof import proof_features
from contract.spaces import FeatureSpace
from tests.repository import SOURCE, TARGET, RandomLinear, write_translator
from tests.unit.training.disk import full_after
from training import export
from training.confidence import fit_confidence
from training.errors import ExportError
from training.exchange_formats import PARITY_MAX, run_onnx
from training.export import ABANDONED_AFTER_S, BATCH_ROWS_MAX, Facts, export_translator, newest_with
from training.methods.registry import empty_translator
from training.models.r3an import R3AN
from training.models.translator import Translator
from training.versions import next_version

FACTS = Facts(
    id=f"{SOURCE.id}--{TARGET.id}",
    method=Method.R3AN,
    source=SOURCE,
    target=TARGET,
    training=Training(data_fingerprint="0" * 64, rows=1, identities=1, config={}, seed=0, seconds=0.0, software={}),
)


class Fickle(nn.Module):
    """Answers differently each time, so that no export of it can be right."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.rand(features.shape[0], TARGET.dim)


class Broken(nn.Module):
    """Answers no numbers."""

    def forward(self, features: Tensor) -> Tensor:
        return features[:, : TARGET.dim] * float("nan")


def test_the_exported_module_is_the_trained_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    translator = Translator(torch.randn(SOURCE.dim) * 0.1, 3.0, R3AN(SOURCE.dim, TARGET.dim)).eval()
    version_dir = export_translator(translator, FACTS, tmp_path)
    exported = torch.jit.load(str(version_dir / "model.pt"))  # type: ignore[no-untyped-call]  # as torch has it
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(9, SOURCE.dim)).astype(np.float32))
    with torch.inference_mode():
        torch.testing.assert_close(exported(features), translator(features), rtol=0, atol=PARITY_MAX)
    manifest = read_manifest(version_dir)
    assert manifest.sha256 == sha256_of(version_dir / "model.pt")
    assert 0 <= manifest.parity.max_abs_difference <= PARITY_MAX
    with torch.inference_mode():
        answer = translator(torch.ones(1, SOURCE.dim))[0]
    torch.testing.assert_close(torch.tensor(manifest.parity.proof), answer, rtol=0, atol=PARITY_MAX)


@pytest.mark.parametrize(
    "method", [method for method in Method if not method.startswith("arch")]
)  # which are r3an's network
def test_every_method_is_exported_in_both_formats(tmp_path: Path, method: Method) -> None:
    torch.manual_seed(0)
    translator = empty_translator(method, SOURCE.dim, TARGET.dim).eval()
    version_dir = export_translator(translator, replace(FACTS, method=method), tmp_path)
    manifest = read_manifest(version_dir)
    assert manifest.onnx is not None
    assert 0 <= manifest.onnx.max_abs_difference <= PARITY_MAX
    run = run_onnx((version_dir / "model.onnx").read_bytes())
    features = np.random.default_rng(0).normal(size=(9, SOURCE.dim)).astype(np.float32)
    with torch.inference_mode():
        expected = translator(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(run(features), expected, rtol=0, atol=PARITY_MAX)
    np.testing.assert_allclose(run(proof_features(SOURCE.dim))[0], manifest.parity.proof, rtol=0, atol=PARITY_MAX)


def test_versions_count_up_and_the_first_stays(tmp_path: Path) -> None:
    first = write_translator(tmp_path, seed=0)
    before = sha256_of(first / "model.pt")
    assert [first.name, write_translator(tmp_path, seed=1).name] == ["1", "2"]
    assert write_translator(tmp_path, version=9).name == "9"
    assert next_version(tmp_path / FACTS.id) == 10
    assert sha256_of(first / "model.pt") == before


def test_a_published_version_is_never_overwritten(tmp_path: Path) -> None:
    version_dir = write_translator(tmp_path, seed=0)
    before = sha256_of(version_dir / "model.pt")
    with pytest.raises(ExportError, match="never overwritten"):
        write_translator(tmp_path, seed=1, version=1)
    assert sha256_of(version_dir / "model.pt") == before


def test_an_export_leaves_nothing_but_the_version_and_the_configuration(tmp_path: Path) -> None:
    version_dir = write_translator(tmp_path)
    assert sorted(path.name for path in version_dir.parent.iterdir()) == ["1", "config.pbtxt"]
    assert sorted(path.name for path in version_dir.iterdir()) == ["manifest.json", "model.onnx", "model.pt"]


@pytest.mark.parametrize("module", [Fickle(), Broken()])
def test_a_module_that_torchscript_does_not_repeat_is_refused_and_leaves_nothing(
    tmp_path: Path, module: nn.Module
) -> None:
    with pytest.raises(ExportError, match="differs from the trained module"):
        export_translator(module, FACTS, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, source=SOURCE.model_copy(update={"dim": SOURCE.dim + 1})),
        replace(FACTS, target=TARGET.model_copy(update={"dim": TARGET.dim + 1})),
    ],
    ids=["source", "target"],
)
def test_a_module_of_other_dimensions_than_its_spaces_is_refused(tmp_path: Path, facts: Facts) -> None:
    with pytest.raises(ExportError, match=rf"{facts.source.dim} values .* to {facts.target.dim}"):
        export_translator(RandomLinear(SOURCE.dim, TARGET.dim, seed=0), facts, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_failure_half_way_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same_space = replace(FACTS, target=SOURCE)
    with pytest.raises(ValueError, match="same space"):
        export_translator(RandomLinear(SOURCE.dim, SOURCE.dim, 0), same_space, tmp_path)
    assert list(tmp_path.iterdir()) == []
    version_dir = write_translator(tmp_path)

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ExportError, match="the disk is full"):
        write_translator(tmp_path)
    assert sorted(path.name for path in version_dir.parent.iterdir()) == ["1", "config.pbtxt"]


def test_a_full_disk_is_told_by_the_versions_name_and_leaves_nothing(tmp_path: Path) -> None:
    with full_after(1000), pytest.raises(ExportError, match="1 cannot be written: File too large"):
        write_translator(tmp_path / "new" / "repository")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_goes_at_the_next_and_what_another_is_writing_stays(tmp_path: Path) -> None:
    translator_dir = write_translator(tmp_path).parent
    for name in (".export-killed", ".export-working"):
        (translator_dir / name / "2").mkdir(parents=True)
        (translator_dir / name / "2" / "model.pt").write_bytes(b"half")
    os.utime(translator_dir / ".export-killed", (0, time.time() - 2 * ABANDONED_AFTER_S))
    write_translator(tmp_path)
    assert sorted(path.name for path in translator_dir.iterdir()) == [".export-working", "1", "2", "config.pbtxt"]


def test_a_version_is_on_the_disk_before_it_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[int] = []  # inodes that were synced while the version was not there, and since
    since: list[int] = []
    version_dir = tmp_path / FACTS.id / "1"

    def fsync(descriptor: int) -> None:
        (since if version_dir.exists() else before).append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    assert write_translator(tmp_path) == version_dir
    needed = [version_dir, *version_dir.iterdir(), version_dir.parent / "config.pbtxt"]
    assert {path.stat().st_ino for path in needed} <= set(before)
    assert {path.stat().st_ino for path in (version_dir.parent, tmp_path)} <= set(since)


def test_the_configuration_is_written_only_when_it_differs(tmp_path: Path) -> None:
    config = write_translator(tmp_path).parent / "config.pbtxt"
    first, wanted = config.stat().st_ino, config.read_text()
    write_translator(tmp_path)
    assert config.stat().st_ino == first
    config.write_text("edited")
    write_translator(tmp_path)
    assert config.read_text() == wanted


def test_the_newest_version_is_found_again_by_its_facts(tmp_path: Path) -> None:
    def spent(seconds: float) -> Facts:
        return replace(FACTS, training=FACTS.training.model_copy(update={"seconds": seconds}))

    assert newest_with(FACTS, tmp_path) is None
    module = RandomLinear(SOURCE.dim, TARGET.dim, 0)
    version_dir = export_translator(module, spent(1.0), tmp_path)
    assert newest_with(spent(2.0), tmp_path) == version_dir
    others = [
        replace(FACTS, method=Method.FC),
        replace(FACTS, training=FACTS.training.model_copy(update={"seed": 1})),
        replace(FACTS, training=FACTS.training.model_copy(update={"data_fingerprint": "1" * 64})),
    ]
    assert [newest_with(other, tmp_path) for other in others] == [None] * 3
    export_translator(module, others[0], tmp_path)
    assert newest_with(FACTS, tmp_path) is None, "an older version does not serve any more"


def test_a_confidence_that_was_used_is_still_the_same_fact(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(20, SOURCE.dim)).astype(np.float32)
    facts = replace(
        FACTS, confidence=fit_confidence(features[:10], features[:10], np.arange(10, dtype=np.int32), features[10:])
    )
    version_dir = export_translator(RandomLinear(SOURCE.dim, TARGET.dim, 0), facts, tmp_path)
    assert facts.confidence is not None
    facts.confidence.distance(features)
    assert newest_with(facts, tmp_path) == version_dir


@pytest.mark.parametrize("file", ["model.pt", "model.onnx"])
def test_a_damaged_version_is_not_found_again(tmp_path: Path, file: str) -> None:
    version_dir = export_translator(RandomLinear(SOURCE.dim, TARGET.dim, 0), FACTS, tmp_path)
    (version_dir / file).write_bytes(b"")
    assert newest_with(FACTS, tmp_path) is None


def test_a_version_without_onnx_is_not_found_again(tmp_path: Path) -> None:
    version_dir = export_translator(RandomLinear(SOURCE.dim, TARGET.dim, 0), FACTS, tmp_path)
    (version_dir / "model.onnx").unlink()
    write_manifest(parse_manifest(version_dir / "manifest.json").model_copy(update={"onnx": None}), version_dir)
    assert read_manifest(version_dir).onnx is None
    assert newest_with(FACTS, tmp_path) is None


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (SOURCE.model_copy(update={"dim": 25}), TARGET),
        (SOURCE, TARGET.model_copy(update={"dim": 17})),
        (SOURCE, TARGET.model_copy(update={"id": "other-16"})),
    ],
)
def test_versions_of_one_translator_have_the_same_spaces(
    tmp_path: Path, source: FeatureSpace, target: FeatureSpace
) -> None:
    version_dir = write_translator(tmp_path)
    before = (version_dir.parent / "config.pbtxt").read_bytes()
    other = replace(FACTS, source=source, target=target)
    with pytest.raises(ExportError, match=r"version 1 .* choose another repository") as refused:
        export_translator(RandomLinear(source.dim, target.dim, 0), other, tmp_path)
    assert "\n" not in str(refused.value)
    assert (version_dir.parent / "config.pbtxt").read_bytes() == before
    assert sorted(path.name for path in version_dir.parent.iterdir()) == ["1", "config.pbtxt"]


def test_a_version_whose_manifest_cannot_be_read_says_nothing_of_its_spaces(tmp_path: Path) -> None:
    (write_translator(tmp_path) / "manifest.json").write_text("{")
    assert write_translator(tmp_path).name == "2"


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / FACTS.id).write_text("a file, not a folder")
    with pytest.raises(ExportError, match="cannot be written"):
        write_translator(tmp_path)


def test_the_generated_configuration_is_tritons(tmp_path: Path) -> None:
    config = model_config_pb2.ModelConfig()
    text_format.Parse((write_translator(tmp_path).parent / "config.pbtxt").read_text(), config)
    assert (config.platform, config.max_batch_size) == ("pytorch_libtorch", BATCH_ROWS_MAX)
    (given,), (answered,) = config.input, config.output
    assert (given.name, list(given.dims)) == ("FEATURE", [SOURCE.dim])
    assert (answered.name, list(answered.dims)) == ("FEATURE", [TARGET.dim])
    assert given.data_type == answered.data_type == model_config_pb2.TYPE_FP32
    assert config.HasField("dynamic_batching")
    assert not config.dynamic_batching.HasField("default_queue_policy"), "with one Triton's batcher oversleeps"
    assert not config.dynamic_batching.max_queue_delay_microseconds, "who comes alone does not wait for company"
    assert not config.instance_group, "the kind is left to the machine: GPU where there is one"
    assert config.version_policy.WhichOneof("policy_choice") == "latest"


@pytest.mark.parametrize("kind", ["TorchScript", "ONNX"])
def test_a_file_that_answers_otherwise_than_what_was_trained_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    other = RandomLinear(SOURCE.dim, TARGET.dim, seed=9).eval()
    make = {"TorchScript": "to_torchscript", "ONNX": "to_onnx"}[kind]
    real = getattr(export, make)
    monkeypatch.setattr(export, make, lambda _module, source_dim: real(other, source_dim))
    with pytest.raises(ExportError, match=kind):
        export_translator(RandomLinear(SOURCE.dim, TARGET.dim, seed=0), FACTS, tmp_path)
    assert list(tmp_path.rglob("*")) == []
