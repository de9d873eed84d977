"""A fit that chooses its own method: by strangers, repeatably, resumably, and with an honest word on what to expect."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import training.selection
from contract.manifest import Method
from tests.unit.training.samples import (
    SOURCE,
    TARGET,
    Columns,
    ignore_iteration,
    sample_columns,
    sample_pairs,
    vectors,
    write_pairs,
)
from training.columns import DISTRACTOR
from training.config import FitConfig
from training.errors import ConfigError, DataError
from training.expectation import EXPECTATION_FILE, Expectation, read_expectation
from training.fit import FittedFacts, fit_pairs, load
from training.methods.base import rows_sha256
from training.methods.registry import entry
from training.selection import FOLDS, SELECTION, fit_chosen

IDENTITIES, FACES = 40, 3
CLOSED_FORMS = (Method.PROCRUSTES, Method.AFFINE, Method.KERNEL_RIDGE)
Chosen = tuple[FittedFacts, Expectation]


@dataclass
class Stop:
    """Ctrl-C after some folds."""

    after: int

    def __call__(self, done: int, _: int) -> None:
        if done == self.after:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def closed_forms_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds is left to the pipeline's tests."""
    few = tuple(FitConfig(method=method) for method in CLOSED_FORMS)
    monkeypatch.setattr(training.selection, "candidates", lambda seed: tuple(_seeded(c, seed) for c in few))


def _seeded(config: FitConfig, seed: int) -> FitConfig:
    return config.model_copy(update={"seed": seed})


def columns() -> Columns:
    return sample_columns(identities=IDENTITIES, faces=FACES)


def choose(folder: Path, data: Columns | None = None, *, seed: int = 0, stop: Stop | None = None) -> Chosen:
    folder.mkdir(parents=True, exist_ok=True)
    file = write_pairs(folder / "pairs.parquet", columns() if data is None else data)
    on_fold = stop or ignore_iteration
    return fit_chosen(file, SOURCE, TARGET, seed, folder / "out", ignore_iteration, on_fold, lambda _: ignore_iteration)


def said(expectation: Expectation) -> str:
    """All but how long the training took."""
    return expectation.model_dump_json(exclude={"training": {"seconds"}})


@pytest.mark.parametrize("seed", [0, 3])
def test_what_is_chosen_from_needs_no_images_and_takes_the_seed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    configs = training.selection.candidates(seed)
    assert [config.method for config in configs] == [*CLOSED_FORMS, Method.RESIDUAL]
    assert {config.seed for config in configs} == {seed}
    assert not any(entry(config.method).needs_images for config in configs)


def test_the_method_that_confuses_strangers_least_is_trained_on_everybody_but_distractors(tmp_path: Path) -> None:
    data = columns()
    identities = data["identity"].to_numpy().copy()
    identities[7:10] = DISTRACTOR
    facts, expectation = choose(tmp_path, data | {"identity": pa.array(identities, pa.int32())})
    assert facts.method == expectation.winner == min(expectation.losses, key=expectation.losses.__getitem__)
    assert expectation.winner in (Method.AFFINE, Method.PROCRUSTES), "the samples' map is linear"
    assert facts.training.rows_sha256 == rows_sha256(np.flatnonzero(identities != DISTRACTOR))
    assert load(tmp_path / "out")[1] == facts
    assert expectation.quality is not None
    assert expectation.gallery_subjects == expectation.quality.gallery_subjects == IDENTITIES // FOLDS + 3


def test_the_expectation_lies_beside_the_fit_with_intervals_rivals_and_both_natives(tmp_path: Path) -> None:
    facts, expectation = choose(tmp_path)
    found = read_expectation(tmp_path / "out", facts.training)
    assert found is not None
    assert found.model_dump_json() == expectation.model_dump_json()
    assert set(expectation.identification) == {*map(str, CLOSED_FORMS), "source native", "target native"}
    quality = expectation.quality
    assert quality is not None
    assert quality.folds == expectation.folds == FOLDS
    assert quality.translated == expectation.identification[expectation.winner]
    assert set(quality.baselines) == set(map(str, CLOSED_FORMS)) - {str(expectation.winner)}
    assert (quality.probes, quality.gallery_subjects) == (IDENTITIES * (FACES - 1), IDENTITIES // FOLDS)
    assert quality.translated.rank_1.low <= quality.translated.rank_1.value > 0.8
    assert quality.gallery_direction is not None
    assert quality.both_translated is not None
    assert quality.gallery_direction.rank_1.value > 0.8 < quality.both_translated.rank_1.value
    for calibration in (expectation.native_to_translated, expectation.translated_to_translated):
        assert calibration is not None
        assert calibration.impostor_pairs == expectation.calibration.impostor_pairs
    assert "1e-3" in quality.translated.tar_at_far or expectation.calibration.impostor_pairs < 1000


def test_nothing_is_expected_where_the_spaces_have_nothing_in_common(tmp_path: Path) -> None:
    """In-sample, kernel ridge finds nine in ten of these faces: whoever judged on training faces would be fooled."""
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(IDENTITIES, 6)).repeat(FACES, axis=0)
    noise += 1e-3 * generator.normal(size=noise.shape)  # no two faces have the same vector
    _, expectation = choose(tmp_path, columns() | {TARGET: vectors(noise)})
    for method in CLOSED_FORMS:
        assert expectation.identification[method].rank_1.value < 3 * FOLDS / IDENTITIES


def test_a_seed_decides_the_choice_and_what_is_expected(tmp_path: Path) -> None:
    first, again, other = (choose(tmp_path / str(run), seed=seed)[1] for run, seed in enumerate((0, 0, 1)))
    assert said(first) == said(again)
    assert first.losses != other.losses


def test_an_interrupted_choice_goes_on_with_the_folds_it_has(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        choose(tmp_path / "stopped", stop=Stop(after=7))
    out = tmp_path / "stopped" / "out"
    fitted = {file: file.stat().st_mtime_ns for file in sorted((out / SELECTION).glob("*/*/fit.json"))}
    assert len(fitted) == 7
    assert not (out / "fit.json").exists()
    assert not (out / EXPECTATION_FILE).exists()
    _, expectation = choose(tmp_path / "stopped")
    assert {file: file.stat().st_mtime_ns for file in fitted} == fitted
    assert said(expectation) == said(choose(tmp_path / "whole")[1])


def test_a_choice_run_again_unchanged_is_taken_up_as_it_is(tmp_path: Path) -> None:
    first, again = choose(tmp_path), choose(tmp_path)
    assert first[0] == again[0]
    assert first[1].model_dump_json() == again[1].model_dump_json()


@pytest.mark.parametrize(
    ("method", "reason"),
    [(Method.FC, "finished fit of fc; "), (Method.AFFINE, "finished fit by other data, rows, settings; ")],
)
def test_a_finished_fit_that_no_choice_would_take_up_is_refused_before_anything_is_fitted(
    tmp_path: Path, method: Method, reason: str
) -> None:
    pairs, config = sample_pairs(tmp_path), FitConfig(method=method, iterations=2, batch_rows=8)
    fit_pairs(pairs, np.arange(9), SOURCE, TARGET, config, tmp_path / "out", ignore_iteration)
    with pytest.raises(ConfigError, match=reason):
        choose(tmp_path)
    assert not (tmp_path / "out" / SELECTION).exists()


def test_where_nobody_has_a_second_face_each_seeks_its_own_photo_and_no_quality_is_claimed(tmp_path: Path) -> None:
    data = columns() | {"identity": pa.array(range(IDENTITIES * FACES), pa.int32())}
    _, expectation = choose(tmp_path, data)
    assert expectation.sought == "same photo"
    assert expectation.quality is None
    assert expectation.probes == IDENTITIES * FACES
    assert set(expectation.identification) == set(map(str, CLOSED_FORMS))
    assert expectation.calibration.impostor_pairs == IDENTITIES * FACES * (IDENTITIES * FACES // FOLDS - 1)


def test_an_expectation_of_another_fit_says_nothing_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    facts, _ = choose(tmp_path)
    out = tmp_path / "out"
    assert read_expectation(out, facts.training.model_copy(update={"seed": 1})) is None
    assert read_expectation(tmp_path, facts.training) is None
    (out / EXPECTATION_FILE).write_text(json.dumps({"folds": 5}))
    with pytest.raises(DataError, match="damaged") as refused:
        read_expectation(out, facts.training)
    assert str(refused.value).startswith(f"{out / EXPECTATION_FILE}: ")


def test_identities_too_few_for_the_folds_are_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column identity: 9 identities cannot be divided into 5 folds"):
        choose(tmp_path, sample_columns(identities=9, faces=8))
    assert not (tmp_path / "out" / SELECTION).exists()
