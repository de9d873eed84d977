"""Taking a finished run up again: only from its own pairs, and only people nobody trained on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contract.manifest import Method
from tests.unit.training.report.samples import FINGERPRINT, judgement, make_run
from tests.unit.training.samples import SOURCE, TARGET, ignore_iteration, sample_columns, write_pairs
from training.config import FitConfig
from training.errors import DataError
from training.fit import fit_pairs, load, load_for, save
from training.models.translator import translate
from training.pairs import fingerprint
from training.report.evidence import NO_IMAGES, NO_PAINTER, gather
from training.report.material import Evidence
from training.report.run import NATIVES, Run
from training.run_folder import RUNS
from training.split import split_identities


def finished_run(folder: Path, pairs_file: Path, methods: tuple[str, ...]) -> Run:
    """Fit methods for a moment, as a bake-off leaves them."""
    kinds = [Method(name) for name in methods]
    pairs = load_for(pairs_file, SOURCE, TARGET, kinds, folder / "cache")
    for kind in kinds:
        config = FitConfig.model_validate({"method": kind, "iterations": 1, "batch_rows": 4})
        rows = split_identities(pairs).training
        fit_pairs(pairs, rows, SOURCE, TARGET, config, folder / RUNS / kind, ignore_iteration)
    facts = {"rows": 1, "identities": 1, "seconds": 1, "data_fingerprint": FINGERPRINT}
    return make_run(
        folder,
        source=SOURCE,
        target=TARGET,
        winner=methods[0],
        training=dict.fromkeys(methods, facts),
        identification={name: judgement(0.5) for name in (*methods, *NATIVES)},
    )


def take_up(run: Run, pairs_file: Path) -> Evidence:
    return gather(run, pairs_file, run.folder / "copy", lambda done, total: None)


def test_every_method_translates_the_held_out_probes_and_painters_paint(tmp_path: Path) -> None:
    pairs_file = write_pairs(tmp_path / "pairs.parquet")
    run = finished_run(tmp_path, pairs_file, ("procrustes", "r3an"))
    evidence = take_up(run, pairs_file)
    for name in ("procrustes", "r3an"):
        translator, _ = load(tmp_path / RUNS / name)
        np.testing.assert_array_equal(evidence.translated[name], translate(translator, evidence.stage.raw_probes))
    assert evidence.paintings is not None
    assert list(evidence.paintings.painted) == ["r3an"]


def test_a_run_without_a_painter_says_so(tmp_path: Path) -> None:
    pairs_file = write_pairs(tmp_path / "pairs.parquet")
    evidence = take_up(finished_run(tmp_path, pairs_file, ("affine",)), pairs_file)
    assert (evidence.paintings, evidence.no_paintings) == (None, NO_PAINTER)


def test_pairs_without_images_are_enough_for_all_but_the_paintings(tmp_path: Path) -> None:
    columns = sample_columns()
    seeing = write_pairs(tmp_path / "seeing.parquet", columns)
    blind = write_pairs(tmp_path / "blind.parquet", {name: c for name, c in columns.items() if name != "image"})
    run = finished_run(tmp_path, seeing, ("r3an",))
    translator, facts = load(tmp_path / RUNS / "r3an")
    training = facts.training.model_copy(update={"data_fingerprint": fingerprint([blind])})
    save(translator, replace(facts, training=training), tmp_path / RUNS / "r3an")
    evidence = take_up(run, blind)
    assert (evidence.paintings, evidence.no_paintings) == (None, NO_IMAGES)
    assert list(evidence.translated) == ["r3an"]


def test_other_pairs_than_the_runs_are_refused_before_they_are_read(tmp_path: Path) -> None:
    run = finished_run(tmp_path, write_pairs(tmp_path / "pairs.parquet"), ("affine",))
    other = write_pairs(tmp_path / "other.parquet", sample_columns(seed=1))
    with pytest.raises(DataError, match=r"other\.parquet: is not the data"):
        take_up(run, other)
    assert not (tmp_path / "copy").exists()


def test_a_method_that_was_trained_on_held_out_people_is_refused(tmp_path: Path) -> None:
    pairs_file = write_pairs(tmp_path / "pairs.parquet")
    run = finished_run(tmp_path, pairs_file, ("affine",))
    translator, facts = load(tmp_path / RUNS / "affine")
    training = facts.training.model_copy(update={"rows_sha256": "0" * 64})
    save(translator, replace(facts, training=training), tmp_path / RUNS / "affine")
    with pytest.raises(DataError, match="affine was trained on other identities"):
        take_up(run, pairs_file)


def test_a_method_whose_fit_is_gone_is_refused_by_its_folder(tmp_path: Path) -> None:
    pairs_file = write_pairs(tmp_path / "pairs.parquet")
    run = finished_run(tmp_path, pairs_file, ("affine",))
    (tmp_path / RUNS / "affine" / "translator.pt").unlink()
    with pytest.raises(DataError, match="affine: no finished fit"):
        take_up(run, pairs_file)
