"""Features alone, no method named: one is chosen, published with what cross-validation found, and made again."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contract.manifest import MANIFEST_FILE, read_manifest
from tests.pipeline.conftest import FACES, IDENTITIES, R3AN_TOML, SOURCE, TARGET, Bakeoff, assert_refused, r3an
from training.fit import load
from training.models.translator import weights_sha256


def test_features_alone_end_as_a_published_translator_with_a_cross_validated_expectation(
    bakeoff: Bakeoff, tmp_path: Path
) -> None:
    pairs, out = tmp_path / "features.parquet", tmp_path / "fit"
    pq.write_table(pq.read_table(bakeoff.pairs).drop_columns(["image"]), pairs)
    fitted = r3an("fit", "--pairs", str(pairs), "--source", SOURCE, "--target", TARGET, "--out", str(out), "--json")
    assert fitted.returncode == 0, fitted.stderr
    printed = json.loads(fitted.stdout)
    assert set(printed["expectation"]["losses"]) == {"procrustes", "affine", "kernel-ridge", "residual"}
    assert (printed["training"]["rows"], printed["training"]["identities"]) == (IDENTITIES * FACES, IDENTITIES)

    export = ["export", "--fit", str(out), "--repository", str(tmp_path / "repository"), "--json"]
    assert_refused(r3an(*export, "--pairs", str(pairs)), str(out), "export it without pairs")
    assert not (tmp_path / "repository").exists()
    published = r3an(*export)
    assert published.returncode == 0, published.stderr
    version_dir = Path(json.loads(published.stdout)["path"])
    manifest = read_manifest(version_dir)
    assert manifest.quality is not None
    assert manifest.quality.folds == 5
    expected = printed["expectation"]["identification"][manifest.method]
    assert manifest.quality.translated.model_dump(mode="json") == expected
    assert manifest.calibration is not None
    assert manifest.native_to_translated is not None
    assert manifest.translated_to_translated is not None
    assert manifest.confidence is not None

    recipe = ["--from-manifest", str(version_dir / MANIFEST_FILE), "--out", str(tmp_path / "again"), "--json"]
    again = r3an("fit", "--pairs", str(pairs), *recipe)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["weights_sha256"] == weights_sha256(load(out)[0])


@pytest.mark.parametrize("method", ["r3an", "fc"])
def test_a_manifest_alone_makes_the_same_weights_again_in_another_process(
    bakeoff: Bakeoff, tmp_path: Path, method: str
) -> None:
    published = bakeoff.out / "candidates" / method / f"{SOURCE}--{TARGET}" / "1" / MANIFEST_FILE
    manifest = tmp_path / "recipe.json"
    values = json.loads(published.read_text())
    values["training"]["software"]["torch"] = "0.1"
    manifest.write_text(json.dumps(values))
    recipe = ["--from-manifest", str(manifest), "--out", str(tmp_path / "again"), "--json"]
    again = r3an("fit", "--pairs", str(bakeoff.pairs), *recipe)
    assert again.returncode == 0, again.stderr
    assert len(again.stderr.splitlines()) == 1
    assert "instead of 0.1" in again.stderr
    made = json.loads(again.stdout)
    assert made["weights_sha256"] == weights_sha256(load(bakeoff.out / "runs" / method)[0])
    assert made["proof_max_abs_difference"] < 1e-5
    assert made["same_weights"] is True


@pytest.fixture
def recipe(bakeoff: Bakeoff, tmp_path: Path) -> Path:
    """The manifest of an r3an that was trained in two threads."""
    config, out, repository = tmp_path / "r3an.toml", tmp_path / "fit", tmp_path / "repository"
    config.write_text(R3AN_TOML)
    method = ["--source", SOURCE, "--target", TARGET, "--method", "r3an", "--config", str(config)]
    fitted = r3an("fit", "--pairs", str(bakeoff.pairs), *method, "--out", str(out), "--json", threads=2)
    assert fitted.returncode == 0, fitted.stderr
    published = r3an("export", "--fit", str(out), "--repository", str(repository), "--json")
    assert published.returncode == 0, published.stderr
    manifest = Path(json.loads(published.stdout)["path"]) / MANIFEST_FILE
    assert json.loads(manifest.read_text())["training"]["software"]["threads"] == "2"
    assert json.loads(manifest.read_text())["training"]["weights_sha256"] == json.loads(fitted.stdout)["weights_sha256"]
    return manifest


def test_a_training_in_two_threads_is_made_again_by_a_process_of_one(
    bakeoff: Bakeoff, tmp_path: Path, recipe: Path
) -> None:
    arguments = ["fit", "--pairs", str(bakeoff.pairs), "--from-manifest", str(recipe), "--out", str(tmp_path / "again")]
    again = r3an(*arguments, threads=1)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.splitlines()[-1] == "same weights"


def test_other_weights_where_nothing_else_differs_end_with_one(bakeoff: Bakeoff, tmp_path: Path, recipe: Path) -> None:
    values = json.loads(recipe.read_text())
    values["training"]["weights_sha256"] = "0" * 64
    recipe.write_text(json.dumps(values))
    arguments = ["fit", "--pairs", str(bakeoff.pairs), "--from-manifest", str(recipe), "--out", str(tmp_path / "again")]
    again = r3an(*arguments, "--json")
    assert (again.returncode, json.loads(again.stdout)["same_weights"]) == (1, False)
    assert again.stderr == "r3an: not the same weights, though software, threads and CPU are the manifest's\n"
