"""Pairs and folders that a training cannot use cost nobody a training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.conftest import FACES, SOURCE, TARGET, Bakeoff, assert_refused, r3an
from training.workspace import workspace


def _one_face_each(whole: pa.Table) -> pa.Table:
    return whole.take(list(range(0, len(whole), FACES)))


def _five_identities(whole: pa.Table) -> pa.Table:
    return whole.slice(0, 5 * FACES)


def _constant(whole: pa.Table, space: str) -> pa.Table:
    column = whole.column_names.index(space)
    return whole.set_column(column, space, whole[space].take([0] * len(whole)))


ONE_FACE_WORDS = ["column identity", "none of the 24 held-out identities has a second face"]
CANNOT_BE_JUDGED = [
    (_one_face_each, ONE_FACE_WORDS),
    (_five_identities, ["column identity", "6 impostor pairs", "at least 100"]),
]


def _long_names(whole: pa.Table) -> pa.Table:
    """Spaces whose names are legal each, and of which no translator can be named."""
    return whole.rename_columns([{SOURCE: LONG, TARGET: f"{LONG}-2"}.get(name, name) for name in whole.column_names])


def _of_one_dimension(whole: pa.Table, space: str) -> pa.Table:
    first = np.asarray(whole[space].combine_chunks().flatten()).reshape(len(whole), -1)[:, 0]
    column = pa.FixedSizeListArray.from_arrays(pa.array(first, pa.float32()), 1)
    return whole.set_column(whole.column_names.index(space), space, column)


LONG = "a" * 100
CANNOT_BE_LEARNED = [
    (lambda whole: _constant(whole, SOURCE), [f"column {SOURCE}", "same vector"]),
    (lambda whole: _constant(whole, TARGET), [f"column {TARGET}", "same vector"]),
    (lambda whole: _of_one_dimension(whole, SOURCE), [f"column {SOURCE}", "one dimension"]),
    (lambda whole: _of_one_dimension(whole, TARGET), [f"column {TARGET}", "one dimension"]),
    (lambda whole: whole.append_column(SOURCE, whole[SOURCE]), [f"column {SOURCE}", "occurs 2 times"]),
]


@pytest.mark.parametrize(
    ("command", "change", "words"),
    [("bakeoff", *case) for case in CANNOT_BE_JUDGED + CANNOT_BE_LEARNED]
    + [("fit", *case) for case in CANNOT_BE_LEARNED],
)
def test_pairs_that_cannot_be_learned_or_judged_are_refused_before_training(
    bakeoff: Bakeoff, tmp_path: Path, command: str, change: Callable[[pa.Table], pa.Table], words: list[str]
) -> None:
    file = tmp_path / "unusable.parquet"
    pq.write_table(change(pq.read_table(bakeoff.pairs)), file)
    method = {"bakeoff": "--methods", "fit": "--method"}[command]
    spaces = ["--source", SOURCE, "--target", TARGET]
    out = tmp_path / "out"
    done = r3an(command, "--pairs", str(file), *spaces, method, "procrustes", "--out", str(out), "--json")
    assert_refused(done, "unusable.parquet", *words)
    assert not list(out.glob("**/*.pt")) + list(out.glob("**/seconds.json"))


def test_pairs_of_one_face_each_are_fitted_and_exported_but_not_judged(bakeoff: Bakeoff, tmp_path: Path) -> None:
    file, out, repository = tmp_path / "single.parquet", tmp_path / "out", tmp_path / "repository"
    pq.write_table(_one_face_each(pq.read_table(bakeoff.pairs)), file)
    spaces = ["--source", SOURCE, "--target", TARGET]
    fitted = r3an("fit", "--pairs", str(file), *spaces, "--method", "procrustes", "--out", str(out), "--json")
    assert fitted.returncode == 0, fitted.stderr
    export = ["export", "--fit", str(out), "--repository", str(repository), "--json"]
    assert_refused(r3an(*export, "--pairs", str(file)), "single.parquet", *ONE_FACE_WORDS)
    assert not repository.exists()
    published = r3an(*export)
    assert published.returncode == 0, published.stderr


def test_a_second_run_in_the_same_folder_is_refused_and_harms_nothing(bakeoff: Bakeoff, tmp_path: Path) -> None:
    spaces = ["--source", SOURCE, "--target", TARGET]
    arguments = [
        "fit",
        "--pairs",
        str(bakeoff.pairs),
        *spaces,
        "--method",
        "procrustes",
        "--out",
        str(tmp_path),
        "--json",
    ]
    with workspace(tmp_path) as copy:
        (copy / "0.npy").touch()
        assert_refused(r3an(*arguments), str(tmp_path), "another run")
        assert (copy / "0.npy").exists()
    assert r3an(*arguments).returncode == 0


@pytest.mark.parametrize("command", [["bakeoff", "--methods", "affine"], ["fit", "--method", "affine"], ["fit"]])
def test_spaces_whose_translator_cannot_be_named_are_refused_before_training(
    bakeoff: Bakeoff, tmp_path: Path, command: list[str]
) -> None:
    file, out = tmp_path / "long.parquet", tmp_path / "out"
    pq.write_table(_long_names(pq.read_table(bakeoff.pairs)), file)
    spaces = ["--source", LONG, "--target", f"{LONG}-2"]
    done = r3an(*command, "--pairs", str(file), *spaces, "--out", str(out), "--json")
    assert_refused(done, str(file), f"column {LONG}", "204 characters", "at most 128")
    assert not list(out.glob("**/*.pt"))
