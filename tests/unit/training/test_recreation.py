"""A manifest alone makes its training again, to the last bit of the weights, or is refused with the reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import training.fit
import training.lessons
from contract.manifest import MANIFEST_FILE, Method, write_manifest
from contract.proof import proof_features
from tests.manifests import make_manifest
from tests.unit.training.samples import (
    SOURCE,
    SOURCE_DIM,
    TARGET,
    ignore_iteration,
    sample_columns,
    sample_pairs,
    write_pairs,
)
from training.conditions import threads_of
from training.config import FitConfig
from training.errors import ConfigError, DataError
from training.fit import fit_pairs
from training.hardware import Hardware, Precision
from training.methods.base import Rows
from training.models.translator import Translator, translate, weights_sha256
from training.pairs import PairedFeatures
from training.recreation import Recreated, read_recipe, recreate
from training.split import split_identities
from training.workspace import LOCK_FILE

TINY = {"iterations": 1, "batch_rows": 8, "learning_rate": 1e-3, "average_decay": 0.5, "seed": 7}


@pytest.fixture
def pairs(tmp_path: Path) -> PairedFeatures:
    return sample_pairs(tmp_path)


def describe(pairs: PairedFeatures, folder: Path, method: Method, rows: Rows | None = None) -> tuple[Translator, Path]:
    """Fit and write the manifest, alone; returns the translator and the file."""
    rows = split_identities(pairs).training if rows is None else rows
    taught = {"teacher": Method.AFFINE} if method is Method.DISTILLED else {}
    config = FitConfig.model_validate({"method": method} | taught | TINY)
    translator, facts = fit_pairs(pairs, rows, SOURCE, TARGET, config, folder / "fit", ignore_iteration)
    manifest = make_manifest(facts.source, facts.target, method=facts.method, training=facts.training)
    write_manifest(manifest, folder)
    return translator, folder / MANIFEST_FILE


def again(manifest: Path, pairs: Path, out: Path) -> Recreated:
    return recreate(manifest, pairs, out, ignore_iteration, ignore_iteration)


def rewrite(manifest: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads(manifest.read_text())
    change(values)
    manifest.write_text(json.dumps(values))


@pytest.mark.parametrize(
    "method", [Method.FC, Method.RESIDUAL, Method.DISTILLED, Method.KERNEL_RIDGE, Method.AFFINE, Method.PROCRUSTES]
)
def test_a_manifest_makes_the_same_weights_again(pairs: PairedFeatures, tmp_path: Path, method: Method) -> None:
    translator, manifest = describe(pairs, tmp_path, method)
    made = again(manifest, pairs.path, tmp_path / "again")
    assert made.facts.training.weights_sha256 == weights_sha256(translator)
    assert made.facts.training.config == read_recipe(manifest, tmp_path)[0].training.config
    assert (made.proof_max_abs_difference, made.changed_software, made.same_weights) == (None, "", True)


def test_other_weights_than_the_manifest_s_are_told_from_unknown_ones(pairs: PairedFeatures, tmp_path: Path) -> None:
    _, manifest = describe(pairs, tmp_path, Method.AFFINE)
    rewrite(manifest, lambda values: values["training"].update(weights_sha256="0" * 64))
    assert again(manifest, pairs.path, tmp_path / "again").same_weights is False
    rewrite(manifest, lambda values: values["training"].pop("weights_sha256"))
    assert again(manifest, pairs.path, tmp_path / "once-more").same_weights is None


def test_a_training_is_made_again_in_as_many_threads(pairs: PairedFeatures, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    with threads_of({"threads": str(before + 1)}):
        translator, manifest = describe(pairs, tmp_path, Method.FC)
    made = again(manifest, pairs.path, tmp_path / "again")
    assert made.facts.training.software["threads"] == str(before + 1)
    assert (made.facts.training.weights_sha256, made.changed_software) == (weights_sha256(translator), "")
    assert torch.get_num_threads() == before


def test_a_finished_fit_is_no_training_made_again(pairs: PairedFeatures, tmp_path: Path) -> None:
    _, manifest = describe(pairs, tmp_path, Method.AFFINE)
    with pytest.raises(ConfigError, match="holds a finished fit; choose another folder"):
        again(manifest, pairs.path, tmp_path / "fit")


def test_what_is_made_again_answers_as_the_manifest_records_or_says_how_far_off(
    pairs: PairedFeatures, tmp_path: Path
) -> None:
    translator, manifest = describe(pairs, tmp_path, Method.AFFINE)
    answer = translate(translator, proof_features(SOURCE_DIM))[0].tolist()
    for answered, difference in ((answer, 0.0), ([answer[0] + 0.25, *answer[1:]], 0.25)):
        rewrite(manifest, lambda values, proof=answered: values["parity"].update(proof=proof))
        made = again(manifest, pairs.path, tmp_path / f"again-{difference}")
        assert made.proof_max_abs_difference == pytest.approx(difference, abs=1e-6)


def test_a_training_on_everybody_is_made_again_on_everybody(pairs: PairedFeatures, tmp_path: Path) -> None:
    translator, manifest = describe(pairs, tmp_path, Method.AFFINE, np.arange(len(pairs)))
    made = again(manifest, pairs.path, tmp_path / "again")
    assert made.facts.training.rows == len(pairs)
    assert made.facts.training.weights_sha256 == weights_sha256(translator)


def test_a_manifest_that_does_not_name_its_rows_is_followed_by_their_number(
    pairs: PairedFeatures, tmp_path: Path
) -> None:
    translator, manifest = describe(pairs, tmp_path, Method.AFFINE)
    rewrite(manifest, lambda values: values["training"].pop("rows_sha256"))
    made = again(manifest, pairs.path, tmp_path / "again")
    assert made.facts.training.weights_sha256 == weights_sha256(translator)


def test_other_software_is_named(pairs: PairedFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, manifest = describe(pairs, tmp_path, Method.PROCRUSTES)
    rewrite(manifest, lambda values: values["training"].update(software={"torch": "1.0", "blas": "3", "numpy": "4"}))
    plain = {"precision": "32-true", "devices": "1"}
    monkeypatch.setattr(training.fit, "conditions_now", lambda _: {"torch": "2.0", "numpy": "4"} | plain)
    made = again(manifest, pairs.path, tmp_path / "again")
    assert made.changed_software == "blas none instead of 3, torch 2.0 instead of 1.0"


def test_other_data_is_refused_before_training(pairs: PairedFeatures, tmp_path: Path) -> None:
    _, manifest = describe(pairs, tmp_path, Method.PROCRUSTES)
    other = write_pairs(tmp_path / "other.parquet", sample_columns(seed=1))
    with pytest.raises(DataError, match="fingerprint differs") as refused:
        again(manifest, other, tmp_path / "again")
    assert str(refused.value).startswith(f"{other}: ")
    assert not (tmp_path / "again" / "fit.json").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda values: values["training"]["config"].update(retired_setting=1), "no longer parses: retired_setting: "),
        (lambda values: values["training"]["config"].update(learning_rate=-1.0), "no longer parses: learning_rate: "),
        (lambda values: values["training"]["config"].update(method="fc"), "contradicts"),
        (lambda values: values["training"].update(seed=8), "contradicts"),
        (lambda values: values["training"].update(rows_sha256="0" * 64), "rows that this version would not choose"),
        (lambda values: values["training"].update(rows=5, rows_sha256=None), "rows that this version would not choose"),
        (lambda values: values.pop("target"), "no manifest: target: "),
    ],
)
def test_a_manifest_that_cannot_be_followed_is_refused_by_name(
    pairs: PairedFeatures, tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    _, manifest = describe(pairs, tmp_path, Method.PROCRUSTES)
    rewrite(manifest, change)
    with pytest.raises(ConfigError, match=reason) as refused:
        again(manifest, pairs.path, tmp_path / "again")
    assert str(refused.value).startswith(f"{manifest}: ")
    assert "\n" not in str(refused.value)
    assert {file.name for file in (tmp_path / "again").glob("*")} <= {LOCK_FILE}


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff"])
def test_what_is_no_manifest_is_refused_by_name(pairs: PairedFeatures, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "manifest.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"no (readable )?manifest") as refused:
        again(file, pairs.path, tmp_path / "again")
    assert str(refused.value).startswith(f"{file}: ")
    assert "\n" not in str(refused.value)


def test_a_teacher_is_trained_by_the_settings_of_the_manifest_whatever_is_shipped_now(
    pairs: PairedFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = FitConfig.model_validate({"method": Method.FC, "iterations": 2, "batch_rows": 8, "seed": 7})
    monkeypatch.setattr(training.lessons, "load_config", lambda *_, **__: shipped)
    rows, config = split_identities(pairs).training, FitConfig(method=Method.DISTILLED, teacher=Method.FC, seed=7)
    config = config.model_copy(update={"iterations": 2, "batch_rows": 8})
    translator, facts = fit_pairs(pairs, rows, SOURCE, TARGET, config, tmp_path / "fit", ignore_iteration)
    write_manifest(make_manifest(facts.source, facts.target, method=facts.method, training=facts.training), tmp_path)
    monkeypatch.setattr(training.lessons, "load_config", lambda *_, **__: shipped.model_copy(update={"iterations": 5}))
    made = again(tmp_path / MANIFEST_FILE, pairs.path, tmp_path / "again")
    assert made.facts.training.weights_sha256 == weights_sha256(translator)


def test_a_training_in_mixed_precision_is_made_again_in_it(pairs: PairedFeatures, tmp_path: Path) -> None:
    rows, out = split_identities(pairs).training, tmp_path / "fit"
    config, mixed = FitConfig.model_validate({"method": Method.FC} | TINY), Hardware(precision=Precision.BFLOAT16)
    translator, facts = fit_pairs(pairs, rows, SOURCE, TARGET, config, out, ignore_iteration, mixed)
    assert facts.training.software["precision"] == "bf16-mixed"
    write_manifest(make_manifest(facts.source, facts.target, method=facts.method, training=facts.training), tmp_path)
    made = again(tmp_path / MANIFEST_FILE, pairs.path, tmp_path / "again")
    assert (made.facts.training.weights_sha256, made.changed_software) == (weights_sha256(translator), "")


def test_a_training_of_two_processes_is_made_again_by_two(pairs: PairedFeatures, tmp_path: Path) -> None:
    rows, out, two = split_identities(pairs).training, tmp_path / "fit", Hardware(devices=2)
    config = FitConfig.model_validate({"method": Method.FC} | TINY)
    _, facts = fit_pairs(pairs, rows, SOURCE, TARGET, config, out, ignore_iteration, two)
    assert facts.training.software["devices"] == "2"
    write_manifest(make_manifest(facts.source, facts.target, method=facts.method, training=facts.training), tmp_path)
    made = again(tmp_path / MANIFEST_FILE, pairs.path, tmp_path / "again")
    assert (made.same_weights, made.changed_software) == (True, "")
