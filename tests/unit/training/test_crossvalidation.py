"""Cross-validation: nobody is judged by a translator that knows them, and the folds are pooled rightly."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contract.manifest import Method
from tests.unit.training.samples import DIVERGING, SOURCE, TARGET, ignore_iteration, sample_columns, write_pairs
from training import crossvalidation
from training.config import FitConfig
from training.contest import Contest
from training.crossvalidation import CROSSVALIDATION_FILE, cross_validate
from training.errors import DataError, DivergedError
from training.fit import FACTS_FILE, FittedFacts, fit_pairs, load
from training.models.translator import Translator, translate
from training.pairs import PairedFeatures, read_pairs
from training.proof import set_stage
from training.split import identity_folds

FOLDS, SEED, PEOPLE = 3, 7, 45
METHODS = (Method.AFFINE, Method.PROCRUSTES)
Hits = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crossvalidation")


@pytest.fixture(scope="module")
def contest(folder: Path) -> Contest:
    columns = sample_columns(identities=PEOPLE)
    file = write_pairs(folder / "pairs.parquet", columns)
    return Contest(file, SOURCE, TARGET, tuple(FitConfig(method=method) for method in METHODS))


@pytest.fixture(scope="module")
def pairs(contest: Contest, folder: Path) -> PairedFeatures:
    return read_pairs(contest.pairs, [SOURCE, TARGET], folder / "cache")


def run(contest: Contest, out: Path, folds: int = FOLDS, stages: list[str] | None = None) -> dict[str, Any]:
    on_stage = [].append if stages is None else stages.append
    return cross_validate(contest, out, folds=folds, seed=SEED, on_stage=on_stage, on_method=lambda _: ignore_iteration)


@pytest.fixture(scope="module")
def summary(contest: Contest, folder: Path) -> dict[str, Any]:
    return run(contest, folder / "out")


def unit(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)


def trials(pairs: PairedFeatures, out: Path, method: Method) -> Hits:
    """Hits, genuine and impostor similarities of all folds, by the translators that lie in `out`."""
    hits, genuine, impostors = [], [], []
    for number, split in enumerate(identity_folds(pairs, FOLDS, SEED), 1):
        stage = set_stage(pairs, split, SOURCE, TARGET)
        translator = load(out / f"fold-{number}" / "runs" / method)[0]
        found = unit(translate(translator, stage.raw_probes)) @ unit(stage.target_gallery[:]).T
        own = stage.probe_identities[:, None] == stage.gallery_identities[None]
        hits.append(np.where(own, found, -1).max(axis=1) > np.where(own, -1, found).max(axis=1))
        genuine.append(found[own])
        impostors.append(found[~own])
    return np.concatenate(hits), np.concatenate(genuine), np.sort(np.concatenate(impostors))[::-1]


@pytest.mark.parametrize("method", METHODS)
def test_pooled_figures_are_over_the_probes_of_all_folds(
    summary: dict[str, Any], pairs: PairedFeatures, folder: Path, method: Method
) -> None:
    hits, genuine, impostors = trials(pairs, folder / "out", method)
    found = summary["identification"][method]
    assert summary["probes"] == len(hits) == PEOPLE * 3
    assert found["rank_1"]["value"] == pytest.approx(hits.mean())
    assert found["rank_1"]["low"] < found["rank_1"]["high"]
    threshold = impostors[int(1e-3 * len(impostors))]
    assert found["tar_at_far"]["1e-3"]["value"] == pytest.approx(np.mean(genuine > threshold), abs=1e-3)


def test_every_two_methods_differ_by_what_their_pooled_rank_1_differs(summary: dict[str, Any]) -> None:
    rank_1 = {method: summary["identification"][method]["rank_1"]["value"] for method in METHODS}
    for a, b in (METHODS, METHODS[::-1]):
        found = summary["rank_1_difference"][a][b]
        assert found["value"] == pytest.approx(rank_1[a] - rank_1[b])
        assert set(found) == {"value", "low", "high", "share"}


def test_each_fold_trains_on_others_than_it_judges(
    summary: dict[str, Any], pairs: PairedFeatures, monkeypatch: pytest.MonkeyPatch, contest: Contest, tmp_path: Path
) -> None:
    trained: list[set[int]] = []

    def watch(given: PairedFeatures, rows: np.ndarray, *rest: Any) -> tuple[Translator, FittedFacts]:  # noqa: ANN401 - passed on
        trained.append(set(given.identities[rows].tolist()))
        return fit_pairs(given, rows, *rest)

    monkeypatch.setattr(crossvalidation, "fit_pairs", watch)
    run(contest, tmp_path / "out")
    splits = identity_folds(pairs, FOLDS, SEED)
    assert trained == [set(pairs.identities[split.training].tolist()) for split in splits for _ in METHODS]
    assert [fold["gallery_subjects"] for fold in summary["per_fold"]] == [PEOPLE // FOLDS] * FOLDS


def test_distractors_stand_in_every_folds_gallery(contest: Contest, tmp_path: Path) -> None:
    columns = sample_columns(identities=PEOPLE)
    identities = columns["identity"].to_numpy().copy()
    identities[-20:] = -1
    columns["identity"] = pa.array(identities, pa.int32())
    file = write_pairs(tmp_path / "pairs.parquet", columns)
    found = run(Contest(file, SOURCE, TARGET, contest.configs[:1]), tmp_path / "out")
    assert [fold["distractors"] for fold in found["per_fold"]] == [20] * FOLDS
    assert [fold["gallery_subjects"] - 20 for fold in found["per_fold"]] == [14, 13, 13], "40 known people"


def test_run_again_it_takes_up_what_is_there(summary: dict[str, Any], contest: Contest, folder: Path) -> None:
    file = folder / "out" / CROSSVALIDATION_FILE
    facts = sorted((folder / "out").rglob(FACTS_FILE))
    assert len(facts) == FOLDS * len(METHODS)
    before = [fact.stat().st_mtime_ns for fact in facts]
    assert json.loads(file.read_text()) == summary
    assert run(contest, folder / "out") == summary
    assert [fact.stat().st_mtime_ns for fact in facts] == before


def test_a_method_that_diverges_in_one_fold_is_left_out_and_said(
    summary: dict[str, Any], contest: Contest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def diverge(*given: Any) -> tuple[Translator, FittedFacts]:  # noqa: ANN401 - passed on
        runs: Path = given[5]
        trained.append(f"{runs.parts[-3]} {runs.name}")
        if trained[-1] == "fold-2 procrustes":
            raise DivergedError("weights are not finite after iteration 3")
        return fit_pairs(*given)

    monkeypatch.setattr(crossvalidation, "fit_pairs", diverge)
    stages: list[str] = []
    found = run(contest, tmp_path / "out", stages=stages)
    assert found["diverged"] == {"procrustes": "fold 2: weights are not finite after iteration 3"}
    assert "procrustes, fold 2: weights are not finite after iteration 3" in stages
    assert found["identification"] == {n: r for n, r in summary["identification"].items() if n != "procrustes"}
    assert found["rank_1_difference"] == {"affine": {}}
    assert ["procrustes" in fold["identification"] for fold in found["per_fold"]] == [True, False, False]
    assert trained == ["fold-1 affine", "fold-1 procrustes", "fold-2 affine", "fold-2 procrustes", "fold-3 affine"]
    assert json.loads((tmp_path / "out" / CROSSVALIDATION_FILE).read_text()) == found


def test_methods_that_all_diverge_leave_nothing_to_pool(contest: Contest, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="fc, fold 1: "):
        run(Contest(contest.pairs, SOURCE, TARGET, (DIVERGING,)), tmp_path / "out")
    assert not (tmp_path / "out" / CROSSVALIDATION_FILE).exists()


def lone_faces(identities: np.ndarray) -> dict[str, pa.Array]:
    """A data set whose rows are of these identities."""
    columns = sample_columns(identities=PEOPLE)
    kept = {name: column.slice(0, len(identities)) for name, column in columns.items()}
    return kept | {"identity": pa.array(identities, pa.int32())}


def test_folds_too_small_to_be_judged_alone_are_judged_together(contest: Contest, tmp_path: Path) -> None:
    found = run(contest, tmp_path / "out", folds=PEOPLE // 2)
    assert [fold["probes"] for fold in found["per_fold"]] == [9] + [6] * (PEOPLE // 2 - 1)
    assert (found["probes"], found["probe_subjects"]) == (PEOPLE * 3, PEOPLE)
    assert "1e-3" not in found["identification"]["affine"]["tar_at_far"], "144 impostor pairs cannot support it"


def test_a_fold_of_lone_faces_adds_nothing(contest: Contest, tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "pairs.parquet", lone_faces(np.append(np.arange(30), [0, 1, 2])))
    found = run(Contest(file, SOURCE, TARGET, contest.configs), tmp_path / "out", folds=10)
    probes = [fold["probes"] for fold in found["per_fold"]]
    assert (found["probes"], sum(probes)) == (3, 3)
    for fold in found["per_fold"]:
        assert set(fold["identification"]) == (set(found["identification"]) if fold["probes"] else set())


def test_people_of_one_face_each_are_refused_before_anything_is_trained(contest: Contest, tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "pairs.parquet", lone_faces(np.arange(40)))
    with pytest.raises(DataError, match="column identity: no identity has a second face to be found by"):
        run(Contest(file, SOURCE, TARGET, contest.configs), tmp_path / "out")
    assert not list((tmp_path / "out").glob("fold-*"))
