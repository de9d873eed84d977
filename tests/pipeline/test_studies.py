"""`r3an crossvalidate`, by the real command: what it leaves, and what it refuses."""

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
