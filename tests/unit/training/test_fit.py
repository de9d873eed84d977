"""A fit's folder: what lies in it is taken up, or refused by name before anything is trained."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import training.fit
from contract.manifest import Method
from tests.unit.training.disk import full_after
from tests.unit.training.samples import SOURCE, TARGET, ignore_iteration, sample_pairs
from training.conditions import conditions_now, threads_of
from training.config import FitConfig
from training.errors import ConfigError, DataError
from training.fit import CHECKPOINT_FILE, FACTS_FILE, SECONDS_FILE, WEIGHTS_FILE, FittedFacts, fit_pairs, load, save
from training.hardware import PLAIN
from training.history import HISTORY_FILE
from training.lessons import Lesson
from training.loop import Losses, OnIteration
from training.methods.base import Rows
from training.models.translator import Translator, weights_sha256
from training.pairs import PairedFeatures
from training.workspace import LOCK_FILE, hold, workspace

ITERATIONS = 6
Fitted = tuple[Translator, FittedFacts]


@pytest.fixture
def pairs(tmp_path: Path) -> PairedFeatures:
    return sample_pairs(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def configure(method: Method, **settings: object) -> FitConfig:
    return FitConfig.model_validate({"method": method, "iterations": ITERATIONS, "batch_rows": 8} | settings)


def fit(
    pairs: PairedFeatures,
    out: Path,
    config: FitConfig,
    rows: Rows | None = None,
    on_iteration: OnIteration = ignore_iteration,
) -> Fitted:
    rows = np.arange(len(pairs) // 2) if rows is None else rows
    return fit_pairs(pairs, rows, SOURCE, TARGET, config, out, on_iteration)


def stop_after(iterations: int) -> OnIteration:
    def on_iteration(done: int, _: int, __: Losses) -> None:
        if done == iterations:
            raise KeyboardInterrupt

    return on_iteration


def interrupt(pairs: PairedFeatures, out: Path, config: FitConfig) -> None:
    """Leave a training half done, with its checkpoint."""
    with pytest.raises(KeyboardInterrupt):
        fit(pairs, out, config, on_iteration=stop_after(4))
    assert (out / CHECKPOINT_FILE).exists()
    assert not (out / FACTS_FILE).exists()


def contents(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.iterdir()}


def weights(fitted: Fitted) -> list[torch.Tensor]:
    return list(fitted[0].state_dict().values())


@pytest.mark.parametrize("method", [Method.PROCRUSTES, Method.AFFINE, Method.FC])
def test_a_finished_fit_is_taken_up_as_it_is(pairs: PairedFeatures, out: Path, method: Method) -> None:
    first = fit(pairs, out, configure(method))
    before = contents(out)
    again = fit(pairs, out, configure(method))
    assert again[1] == first[1]
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(again), strict=True))
    assert contents(out) == before


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"cut")])
@pytest.mark.parametrize("name", [FACTS_FILE, WEIGHTS_FILE])
def test_a_fit_that_is_not_whole_is_made_whole(
    pairs: PairedFeatures, out: Path, name: str, damage: Callable[[Path], object]
) -> None:
    first = fit(pairs, out, configure(Method.AFFINE))
    damage(out / name)
    fit(pairs, out, configure(Method.AFFINE))
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(load(out)), strict=True))


@pytest.mark.parametrize("method", [Method.AFFINE, Method.FC])
@pytest.mark.parametrize("settings", [{"seed": 1}, {"iterations": ITERATIONS + 1}])
def test_a_finished_fit_by_other_settings_is_not_lost(
    pairs: PairedFeatures, out: Path, method: Method, settings: dict[str, int]
) -> None:
    fit(pairs, out, configure(method))
    before = contents(out)
    with pytest.raises(ConfigError, match="holds a finished fit by other settings; choose another folder"):
        fit(pairs, out, configure(method, **settings))
    assert contents(out) == before


@pytest.mark.parametrize("method", [Method.PROCRUSTES, Method.FC])
def test_a_finished_fit_on_other_rows_data_or_spaces_is_not_lost(
    pairs: PairedFeatures, out: Path, method: Method
) -> None:
    fit(pairs, out, configure(method))
    before = contents(out)
    with pytest.raises(ConfigError, match="finished fit by other rows; "):
        fit(pairs, out, configure(method), np.arange(len(pairs) // 2, len(pairs)))
    with pytest.raises(ConfigError, match="finished fit by other rows; "):
        fit(pairs, out, configure(method), np.arange(len(pairs) // 2 + 1))
    with pytest.raises(ConfigError, match="finished fit by other data; "):
        fit(replace(pairs, fingerprint="0" * 64), out, configure(method))
    with pytest.raises(ConfigError, match="finished fit by other spaces; "):
        fit_pairs(pairs, np.arange(len(pairs) // 2), TARGET, SOURCE, configure(method), out, ignore_iteration)
    assert contents(out) == before


def test_a_finished_fit_that_does_not_name_its_rows_is_known_by_their_number(pairs: PairedFeatures, out: Path) -> None:
    translator, facts = fit(pairs, out, configure(Method.AFFINE))
    unnamed = facts.training.model_copy(update={"rows_sha256": None})
    save(translator, replace(facts, training=unnamed), out)
    assert fit(pairs, out, configure(Method.AFFINE))[1].training == unnamed
    with pytest.raises(ConfigError, match="finished fit by other rows; "):
        fit(pairs, out, configure(Method.AFFINE), np.arange(len(pairs) // 2 + 1))


def test_a_finished_fit_from_before_a_setting_existed_has_its_default(pairs: PairedFeatures, out: Path) -> None:
    translator, facts = fit(pairs, out, configure(Method.FC))
    config = {key: value for key, value in facts.training.config.items() if key != "average_decay"}
    older = facts.training.model_copy(update={"config": config})
    save(translator, replace(facts, training=older), out)
    assert fit(pairs, out, configure(Method.FC))[1].training == older
    with pytest.raises(ConfigError, match="finished fit by other settings; "):
        fit(pairs, out, configure(Method.FC, average_decay=0.5))


@pytest.mark.parametrize("method", [Method.PROCRUSTES, Method.FC])
def test_a_finished_fit_by_other_software_is_taken_up_as_what_it_is(
    pairs: PairedFeatures, out: Path, monkeypatch: pytest.MonkeyPatch, method: Method
) -> None:
    first = fit(pairs, out, configure(method))[1]
    monkeypatch.setattr(training.fit, "conditions_now", lambda _: {"torch": "another"})
    assert fit(pairs, out, configure(method))[1] == first


def test_an_unfinished_training_by_other_settings_is_refused(pairs: PairedFeatures, out: Path) -> None:
    interrupt(pairs, out, configure(Method.FC, checkpoint_interval_s=1e-9))
    before = contents(out)
    with pytest.raises(ConfigError, match="another training"):
        fit(pairs, out, configure(Method.FC, seed=1))
    for name in (CHECKPOINT_FILE, HISTORY_FILE):
        assert contents(out)[name] == before[name]


def test_a_finished_fit_of_another_method_is_not_lost(pairs: PairedFeatures, out: Path) -> None:
    fit(pairs, out, configure(Method.FC))
    before = contents(out)
    with pytest.raises(ConfigError, match="holds a finished fit of fc; choose another folder"):
        fit(pairs, out, configure(Method.AFFINE))
    assert contents(out) == before


def test_seconds_are_kept_while_a_training_runs(pairs: PairedFeatures, out: Path) -> None:
    kept: list[float] = []

    def on_iteration(*_: object) -> None:
        if (out / SECONDS_FILE).exists():  # as a kill would find it
            kept.append(json.loads((out / SECONDS_FILE).read_text()))

    config = configure(Method.FC, checkpoint_interval_s=1e-9)
    _, facts = fit_pairs(pairs, np.arange(len(pairs) // 2), SOURCE, TARGET, config, out, on_iteration)
    assert len(kept) == ITERATIONS - 1
    assert 0 < kept[0] < kept[-1] <= facts.training.seconds + 1e-3


def test_facts_never_stand_beside_the_weights_of_another_fit(
    pairs: PairedFeatures, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator, facts = fit(pairs, out, configure(Method.PROCRUSTES))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training.fit, "write_atomically", stop)  # as if stopped between weights and facts
    with pytest.raises(KeyboardInterrupt):
        save(translator, facts, out)
    assert not (out / FACTS_FILE).exists()


@pytest.mark.parametrize("method", [Method.AFFINE, Method.FC])
def test_the_facts_name_the_weights_and_what_decided_them(pairs: PairedFeatures, out: Path, method: Method) -> None:
    translator, facts = fit(pairs, out, configure(method))
    assert facts.training.weights_sha256 == weights_sha256(translator)
    assert facts.training.software == conditions_now(PLAIN)
    assert load(out)[1] == facts


def test_a_fit_holds_its_folder_while_it_trains(pairs: PairedFeatures, out: Path) -> None:
    """As within a bake-off, which holds its own folder and not those of its runs."""
    refused: list[str] = []

    def on_iteration(*_: object) -> None:
        with pytest.raises(ConfigError, match="another run is at work") as error, workspace(out):
            pass
        refused.append(str(error.value))

    fit(pairs, out, configure(Method.FC), on_iteration=on_iteration)
    assert len(refused) == ITERATIONS
    assert refused[0].startswith(f"{out}: ")


@pytest.mark.parametrize("method", [Method.AFFINE, Method.DISTILLED])
def test_a_fit_into_the_folder_of_another_is_refused_and_changes_nothing(
    pairs: PairedFeatures, out: Path, method: Method
) -> None:
    config = configure(method, **({"teacher": Method.AFFINE} if method is Method.DISTILLED else {}))
    held = out / "teacher" if method is Method.DISTILLED else out
    with hold(held), ThreadPoolExecutor() as another:
        before = {*out.rglob("*"), out / LOCK_FILE}
        with pytest.raises(ConfigError, match="another run is at work") as refused:
            another.submit(fit, pairs, out, config).result()
        assert {*out.rglob("*"), out / LOCK_FILE} == before
    assert str(refused.value).startswith(f"{held}: ")


@pytest.mark.parametrize("method", [Method.AFFINE, Method.FC])
def test_a_full_disk_is_told_by_the_weights_name_and_leaves_no_half_of_them(
    pairs: PairedFeatures, out: Path, method: Method
) -> None:
    with full_after(1200), pytest.raises(DataError, match="cannot be written") as refused:
        fit(pairs, out, configure(method))
    full = out / (CHECKPOINT_FILE if method is Method.FC else WEIGHTS_FILE)
    assert str(refused.value).startswith(f"{full}: ")
    assert not {WEIGHTS_FILE, CHECKPOINT_FILE, FACTS_FILE} & set(contents(out))
    assert not [name for name in contents(out) if "writing" in name or (name.startswith(".") and name != LOCK_FILE)]
    fit(pairs, out, configure(method))
    assert load(out)[1].method == method


def test_a_training_that_went_on_in_other_threads_names_both_numbers(pairs: PairedFeatures, out: Path) -> None:
    config, threads = configure(Method.FC, checkpoint_interval_s=1e-9), torch.get_num_threads()
    with threads_of({"threads": str(threads + 1)}):
        interrupt(pairs, out, config)
    assert fit(pairs, out, config)[1].training.software["threads"] == f"{threads + 1}, {threads}"


def test_a_student_names_what_its_teacher_was_trained_under_too(pairs: PairedFeatures, out: Path) -> None:
    config, threads = configure(Method.DISTILLED, teacher=Method.AFFINE), torch.get_num_threads()
    with threads_of({"threads": str(threads + 1)}):
        fit(pairs, out / "teacher", configure(Method.AFFINE))
    lesson = Lesson(configure(Method.AFFINE), out / "teacher", None)
    rows = np.arange(len(pairs) // 2)
    _, facts = fit_pairs(pairs, rows, SOURCE, TARGET, config, out, ignore_iteration, PLAIN, lesson)
    assert facts.training.software["threads"] == f"{threads + 1}, {threads}"


def test_seconds_of_interrupted_runs_add_up(pairs: PairedFeatures, out: Path) -> None:
    interrupt(pairs, out, configure(Method.FC, checkpoint_interval_s=1e-9))
    assert json.loads((out / SECONDS_FILE).read_text()) > 0
    (out / SECONDS_FILE).write_text("100.5")
    assert fit(pairs, out, configure(Method.FC, checkpoint_interval_s=1e-9))[1].training.seconds > 100.5
    assert json.loads((out / SECONDS_FILE).read_text()) > 100.5


def test_seconds_of_a_training_that_nothing_is_left_of_do_not_count(pairs: PairedFeatures, out: Path) -> None:
    fit(pairs, out, configure(Method.AFFINE))
    (out / SECONDS_FILE).write_text("100.5")
    (out / FACTS_FILE).unlink()
    assert fit(pairs, out, configure(Method.AFFINE))[1].training.seconds < 100


@pytest.mark.parametrize("content", [b"", b"12.", b"[1]", b"null", b'"1"', b"NaN", b"-1", b"\xff"])
def test_damaged_seconds_are_refused_by_name_before_training(pairs: PairedFeatures, out: Path, content: bytes) -> None:
    config = configure(Method.FC, checkpoint_interval_s=1e-9)
    interrupt(pairs, out, config)
    file = out / SECONDS_FILE
    file.write_bytes(content)
    before = contents(out)
    with pytest.raises(ConfigError, match="delete it") as refused:
        fit(pairs, out, config)
    assert str(refused.value).startswith(f"{file}: ")
    assert contents(out) == before


def test_the_hash_of_weights_tells_equal_from_other_ones(pairs: PairedFeatures, out: Path) -> None:
    first = fit(pairs, out / "1", configure(Method.AFFINE))[0]
    hashes = {weights_sha256(fit(pairs, out / "2", configure(Method.AFFINE))[0]), weights_sha256(load(out / "1")[0])}
    assert hashes == {weights_sha256(first)}
    weight = next(iter(first.state_dict().values()))
    weight[0] = np.nextafter(weight[0].item(), np.float32(np.inf), dtype=np.float32).item()
    assert weights_sha256(first) not in hashes
