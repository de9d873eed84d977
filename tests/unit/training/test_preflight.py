"""Pairs from which nothing can be learned or judged are refused before training, by column and reason."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.training.samples import SOURCE, TARGET, Columns, sample_columns, write_pairs
from training.errors import DataError
from training.pairs import read_pairs
from training.preflight import check_judgeable, check_learnable
from training.split import split_identities


def check(folder: Path, columns: Columns) -> None:
    pairs = read_pairs(write_pairs(folder / "pairs.parquet", columns), [SOURCE, TARGET], folder / "cache")
    split = split_identities(pairs)
    check_learnable(pairs, split.training)
    check_judgeable(pairs, split.held_out)


def test_pairs_that_can_be_learned_and_judged_pass(tmp_path: Path) -> None:
    check(tmp_path, sample_columns(identities=20))


@pytest.mark.parametrize("columns", [sample_columns(identities=100, faces=1), sample_columns(identities=5)])
def test_pairs_that_cannot_be_judged_can_be_learned_from(tmp_path: Path, columns: Columns) -> None:
    pairs = read_pairs(write_pairs(tmp_path / "pairs.parquet", columns), [SOURCE, TARGET], tmp_path / "cache")
    check_learnable(pairs, split_identities(pairs).training)


def test_identities_of_one_face_have_no_probe(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 40 held-out identities has a second face") as refused:
        check(tmp_path, sample_columns(identities=100, faces=1))
    assert str(refused.value).startswith(f"{tmp_path / 'pairs.parquet'}, column identity: ")


def test_too_few_impostor_pairs_are_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 held-out identities, 8 faces .* 6 impostor pairs .* at least 100"):
        check(tmp_path, sample_columns(identities=5))


def test_distractors_make_impostor_pairs(tmp_path: Path) -> None:
    columns = sample_columns(identities=30)
    identity = np.minimum(columns["identity"].to_numpy(), 5)
    distractors = {"identity": pa.array(np.where(identity == 5, -1, identity), pa.int32())}
    check(tmp_path, columns | distractors)


@pytest.mark.parametrize("name", [SOURCE, TARGET])
def test_a_constant_column_is_refused_whatever_the_lengths_of_its_vectors(tmp_path: Path, name: str) -> None:
    file = write_pairs(tmp_path / "pairs.parquet", sample_columns(identities=20))
    pairs = read_pairs(file, [SOURCE, TARGET], tmp_path / "cache")
    rows, dim = pairs.features[name].shape
    pairs.features[name][:] = np.linspace(0.3, 1, dim) * np.linspace(0.1, 30, rows)[:, None]
    with pytest.raises(DataError, match="all rows to train on hold the same vector") as refused:
        check_learnable(pairs, split_identities(pairs).training)
    assert str(refused.value).startswith(f"{file}, column {name}: ")
