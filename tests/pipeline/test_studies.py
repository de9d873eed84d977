"""`r3an crossvalidate` and `learning-curve`, by the real command: what they leave, and what they refuse."""

import json
from pathlib import Path

from tests.pipeline.conftest import SOURCE, TARGET, assert_refused, r3an, write_pairs


def test_a_crossvalidation_prints_and_leaves_one_judgement_of_all_people(tmp_path: Path) -> None:
    pairs, out = write_pairs(tmp_path / "pairs.parquet"), tmp_path / "out"
    arguments = ["crossvalidate", "--pairs", str(pairs), "--source", SOURCE, "--target", TARGET, "--out", str(out)]
    done = r3an(*arguments, "--methods", "affine, procrustes", "--folds", "3", "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert json.loads((out / "crossvalidation.json").read_text()) | {"summary": printed["summary"]} == printed
    assert (printed["probes"], printed["probe_subjects"]) == (180, 60)
    assert set(printed["identification"]) == {"affine", "procrustes", "source native", "target native"}
    assert set(printed["rank_1_difference"]["affine"]["procrustes"]) == {"value", "low", "high", "share"}
    assert not list(out.glob(".pairs-*"))
    refused = r3an(*arguments, "--methods", "affine", "--folds", "31")
    assert_refused(refused, "pairs.parquet", "60 identities cannot be divided into 31 folds")


def test_a_learning_curve_prints_and_leaves_a_point_for_each_kind_and_number_of_rows(tmp_path: Path) -> None:
    pairs, out = write_pairs(tmp_path / "pairs.parquet"), tmp_path / "out"
    arguments = ["learning-curve", "--pairs", str(pairs), "--source", SOURCE, "--target", TARGET, "--out", str(out)]
    arguments += ["--methods", "affine", "--json"]
    done = r3an(*arguments, "--rows", "40,80", "--kinds", "clean,half-missing,darker-faces")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert json.loads((out / "learning_curve.json").read_text()) | {"summary": printed["summary"]} == printed
    found = [(point["kind"], point["asked"]) for point in printed["points"]]
    clean, halved = [("clean", asked) for asked in ("40", "72", "80", "all")], ("40", "80", "all")
    assert found == [*clean, *(("half-missing", asked) for asked in halved), ("darker-faces", "all")]
    assert all((out / kind / asked / "affine" / "fit.json").exists() for kind, asked in found)
    assert not list(out.glob(".pairs-*"))
    assert_refused(r3an(*arguments, "--kinds", "clean,foggy"), "'foggy'", "half-missing")
    assert_refused(r3an(*arguments, "--rows", "500,many"), "--rows", "'many'")


def test_a_study_takes_the_seed_that_a_file_names_for_all_methods_and_its_folds(tmp_path: Path) -> None:
    pairs, config = write_pairs(tmp_path / "pairs.parquet"), tmp_path / "affine.toml"
    config.write_text('method = "affine"\nseed = 4\n')
    arguments = ["--pairs", str(pairs), "--source", SOURCE, "--target", TARGET, "--config", str(config), "--json"]
    arguments += ["--methods", "procrustes,affine"]
    folds = json.loads(r3an("crossvalidate", *arguments, "--out", str(tmp_path / "folds"), "--folds", "2").stdout)
    curve = json.loads(r3an("learning-curve", *arguments, "--out", str(tmp_path / "curve"), "--rows", "40").stdout)
    seeds = [facts["config"]["seed"] for fold in folds["per_fold"] for facts in fold["training"].values()]
    assert (folds["seed"], curve["seed"], seeds) == (4, 4, [4] * 4)
