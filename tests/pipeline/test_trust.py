"""What a bake-off and an export say of confidence and calibration, as an operator reads it."""

import json
from pathlib import Path

import pytest

from contract.manifest import read_manifest
from tests.pipeline.conftest import SOURCE, TARGET, Bakeoff, r3an
from training.abstention import KEPT

METHODS = ("r3an", "fc", "affine", "procrustes")
KINDS = {"wrong-space", "gaussian-noise", "noisy-faces", "half-missing", "dark-crops"}


def test_a_bakeoff_says_what_abstaining_buys_each_method(bakeoff: Bakeoff) -> None:
    curves = bakeoff.printed["abstention"]
    assert set(curves) == set(METHODS)
    for method, curve in curves.items():
        assert curve["kept"] == list(KEPT)
        rank_1 = bakeoff.printed["identification"][method]["rank_1"]["value"]
        assert curve["rank_1"][0] == pytest.approx(rank_1, abs=1e-5), "all probes kept"


def test_a_bakeoff_says_what_confidence_tells_from_faces(bakeoff: Bakeoff) -> None:
    areas = bakeoff.printed["auroc"]
    assert set(areas) == KINDS
    assert all(area["low"] <= area["value"] <= area["high"] for area in areas.values())
    for kind in KINDS - {"dark-crops"}:
        assert areas[kind]["value"] > 0.9, kind  # 12 of its 24 dimensions are all but empty in a face
    assert areas["dark-crops"]["low"] < 0.5 < areas["dark-crops"]["high"], (
        "the crops here have nothing to do with features"
    )


def test_a_bakeoff_observes_its_false_match_rates_on_other_people(bakeoff: Bakeoff) -> None:
    checked = bakeoff.printed["calibration_check"]
    assert set(checked) == set(METHODS)
    for observed in checked.values():
        assert set(observed) == {"1e-1"}, "two halves of 12 identities can count no rarer rate"
        assert 0.02 < observed["1e-1"] < 0.3


def test_the_manifest_carries_what_the_summary_shows(bakeoff: Bakeoff) -> None:
    for method in METHODS:
        manifest = read_manifest(bakeoff.out / "candidates" / method / f"{SOURCE}--{TARGET}" / "1")
        assert manifest.quality is not None
        written = json.loads(manifest.quality.model_dump_json())
        assert written["abstention"] == bakeoff.printed["abstention"][method]
        assert written["auroc"] == bakeoff.printed["auroc"]


def test_an_export_of_one_fit_says_it_too(bakeoff: Bakeoff, tmp_path: Path) -> None:
    fit = str(bakeoff.out / "runs" / "affine")
    done = r3an("export", "--fit", fit, "--pairs", str(bakeoff.pairs), "--repository", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    quality = read_manifest(Path(json.loads(done.stdout)["path"])).quality
    assert quality is not None
    assert quality.abstention is not None
    assert quality.auroc is not None
    written = json.loads(quality.model_dump_json())
    assert written["abstention"] == bakeoff.printed["abstention"]["affine"]
    assert set(written["auroc"]) == KINDS - {"dark-crops"}, "crops are read only for methods that need them"
