"""The bake-off where a method learns nothing, and where one method teaches another."""

import json
from pathlib import Path

import pytest

from contract.manifest import Method
from contract.spaces import FeatureSpace
from tests.repository import write_translator
from tests.unit.training.samples import (
    DIVERGING,
    SOURCE,
    SOURCE_DIM,
    TARGET,
    TARGET_DIM,
    ignore_iteration,
    sample_columns,
    write_pairs,
)
from training.bakeoff import PROMOTED, Outcome, run_bakeoff
from training.config import FitConfig, load_config
from training.contest import Contest
from training.errors import DivergedError, ExportError
from training.fit import TEACHER
from training.run_folder import CANDIDATES, RUNS


def hold(
    tmp_path: Path, *configs: FitConfig, stages: list[str] | None = None, repository: Path | None = None
) -> tuple[Outcome, list[str]]:
    """Run a bake-off; returns its outcome and the stages it told."""
    stages = [] if stages is None else stages
    pairs = write_pairs(tmp_path / "pairs.parquet", sample_columns(identities=24))
    out = tmp_path / "out"
    contest = Contest(pairs, SOURCE, TARGET, configs)
    repository = repository or out / PROMOTED
    return run_bakeoff(contest, out, repository, stages.append, lambda _: ignore_iteration), stages


def test_a_method_that_diverges_is_reported_and_the_others_are_judged(tmp_path: Path) -> None:
    outcome, stages = hold(tmp_path, DIVERGING, load_config(Method.AFFINE))
    summary = json.loads(outcome.summary.read_text())
    assert (outcome.winner, list(summary["training"])) == (Method.AFFINE, ["affine"])
    assert list(summary["diverged"]) == ["fc"]
    assert summary["diverged"]["fc"] in stages
    assert f"fc is not in the table: {summary['diverged']['fc']}." in outcome.report.read_text()


def test_both_natives_have_a_cmc_curve_that_begins_at_their_rank_1(tmp_path: Path) -> None:
    outcome, _ = hold(tmp_path, load_config(Method.AFFINE))
    summary = json.loads(outcome.summary.read_text())
    assert list(summary["cmc"]) == ["affine", "source native", "target native"]
    for name, curve in summary["cmc"].items():
        assert curve[0] == pytest.approx(summary["identification"][name]["rank_1"]["value"], abs=1e-5)


def test_a_bakeoff_of_diverging_methods_alone_says_so(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        hold(tmp_path, DIVERGING)


def test_a_contestant_teaches_from_its_own_run(tmp_path: Path) -> None:
    student = FitConfig(method=Method.DISTILLED, teacher=Method.AFFINE, iterations=2, batch_rows=8)
    outcome, _ = hold(tmp_path, student, load_config(Method.AFFINE))
    runs = outcome.summary.parent / RUNS
    assert (runs / Method.AFFINE / "fit.json").exists()
    assert not (runs / Method.DISTILLED / TEACHER).exists()


def test_a_teacher_with_other_settings_than_the_contestants_is_trained_apart(tmp_path: Path) -> None:
    student = FitConfig(method=Method.DISTILLED, teacher=Method.AFFINE, iterations=2, batch_rows=8)
    outcome, _ = hold(tmp_path, student, FitConfig(method=Method.AFFINE, seed=5))
    assert (outcome.summary.parent / RUNS / Method.DISTILLED / TEACHER / "fit.json").exists()


def test_a_method_that_no_longer_competes_leaves_no_candidate(tmp_path: Path) -> None:
    hold(tmp_path, load_config(Method.AFFINE), load_config(Method.PROCRUSTES))
    outcome, _ = hold(tmp_path, load_config(Method.AFFINE))
    assert list(json.loads(outcome.summary.read_text())["training"]) == ["affine"]
    assert [path.name for path in (outcome.summary.parent / CANDIDATES).iterdir()] == ["affine"]
    assert (outcome.summary.parent / RUNS / Method.PROCRUSTES).exists(), "what was trained is not lost"


def test_a_repository_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    stages: list[str] = []
    with pytest.raises(ExportError, match="cannot be written: Not a directory") as refused:
        hold(tmp_path, load_config(Method.AFFINE), stages=stages, repository=tmp_path / "file" / "repository")
    assert str(refused.value).startswith(str(tmp_path / "file"))
    assert stages == ["reading pairs"]
    assert not (tmp_path / "out").exists()


def test_a_repository_is_made_by_the_winner_alone(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        hold(tmp_path, DIVERGING)
    assert not (tmp_path / "out" / PROMOTED).exists()


def test_a_repository_with_other_spaces_of_that_name_is_refused_before_training(tmp_path: Path) -> None:
    other = FeatureSpace(id=SOURCE, dim=SOURCE_DIM + 1)
    write_translator(tmp_path / "out" / PROMOTED, other, FeatureSpace(id=TARGET, dim=TARGET_DIM))
    stages: list[str] = []
    with pytest.raises(ExportError, match="choose another repository"):
        hold(tmp_path, load_config(Method.AFFINE), stages=stages)
    assert stages == ["reading pairs"]
