"""Rows that repeat another one are refused by the later one, counted within its own file."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.training.samples import SOURCE, TARGET, Columns, sample_columns
from training.columns import DISTRACTOR, vector_digests
from training.errors import DataError
from training.pairs import read_pairs
from training.repeats import first_shared

CUT = 20  # rows of the first of two files


def put(columns: Columns, name: str, row: int, value: object) -> Columns:
    values = columns[name].to_pylist()
    values[row] = value
    return columns | {name: pa.array(values, columns[name].type)}


def read(folder: Path, columns: Columns) -> int:
    parts = folder / "parts"
    parts.mkdir()
    pq.write_table(pa.table(columns).slice(0, CUT), parts / "a.parquet")
    pq.write_table(pa.table(columns).slice(CUT), parts / "b.parquet")
    return len(read_pairs(parts, [SOURCE, TARGET], folder / "cache"))


@pytest.mark.parametrize(
    ("row", "place"), [(25, "b.parquet, column {}, row 5: "), (6, "a.parquet, column {}, row 6: ")]
)
@pytest.mark.parametrize("name", ["image_id", SOURCE, TARGET])
def test_what_was_there_before_is_refused_in_its_own_file(tmp_path: Path, name: str, row: int, place: str) -> None:
    columns = sample_columns()
    repeated = put(columns, name, row, columns[name][3].as_py())
    with pytest.raises(DataError, match=r"occurs before|same vector up to its length as in a row before") as refused:
        read(tmp_path, repeated)
    assert place.format(name) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("factor", [2.0, 0.1, 3.0, 1e4])
@pytest.mark.parametrize("name", [SOURCE, TARGET])
def test_a_multiple_of_a_vector_is_that_vector(tmp_path: Path, name: str, factor: float) -> None:
    """Everything that trains or judges takes vectors at unit length."""
    columns = sample_columns()
    multiple = [factor * entry for entry in columns[name][3].as_py()]
    with pytest.raises(DataError, match=rf"a\.parquet, column {name}, row 9: same vector .*, of another identity$"):
        read(tmp_path, put(columns, name, 9, multiple))


@pytest.mark.parametrize("name", [SOURCE, TARGET])
def test_the_opposite_of_a_vector_and_its_near_neighbour_are_others(tmp_path: Path, name: str) -> None:
    columns = sample_columns()
    vector = np.asarray(columns[name][3].as_py())
    near = vector + 1e-3 * np.linalg.norm(vector) * np.eye(len(vector))[0]
    others = put(put(columns, name, 9, list(-vector)), name, 10, list(near))
    assert read(tmp_path, others) == len(columns[name])


@pytest.mark.parametrize("seed", range(4))
def test_nearly_all_multiples_have_the_same_digest_in_wide_spaces(seed: int) -> None:
    """A multiple is rounded anew, which may carry an entry over the border of a step."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(1000, 512)).astype(np.float32)
    multiples = features * rng.uniform(0.1, 10, (1000, 1)).astype(np.float32)
    same = (vector_digests(features) == vector_digests(multiples)).all(axis=1)
    assert same.mean() > 0.995
    assert (vector_digests(features) == vector_digests(features * np.float32(0.25))).all()
    assert len(np.unique(vector_digests(features), axis=0)) == len(features)


@pytest.mark.parametrize("name", [SOURCE, TARGET])
def test_one_vector_of_one_identity_twice_is_refused_too(tmp_path: Path, name: str) -> None:
    """A gallery face would be its own probe."""
    columns = sample_columns()
    assert columns["identity"][1] == columns["identity"][3]
    with pytest.raises(
        DataError, match=rf"a\.parquet, column {name}, row 3: same vector up to its length as in a row before$"
    ):
        read(tmp_path, put(columns, name, 3, columns[name][1].as_py()))


@pytest.mark.parametrize("name", [SOURCE, TARGET])
def test_a_distractor_twice_is_refused_too(tmp_path: Path, name: str) -> None:
    columns = put(put(sample_columns(), "identity", 1, DISTRACTOR), "identity", 9, DISTRACTOR)
    with pytest.raises(
        DataError, match=rf"a\.parquet, column {name}, row 9: same vector up to its length as in a row before$"
    ):
        read(tmp_path, put(columns, name, 9, columns[name][1].as_py()))


def test_a_distractor_with_the_vector_of_somebody_known_is_refused(tmp_path: Path) -> None:
    columns = sample_columns()
    repeated = put(put(columns, SOURCE, 3, columns[SOURCE][1].as_py()), "identity", 3, DISTRACTOR)
    with pytest.raises(DataError, match=r"a\.parquet, column old-8, row 3: same vector"):
        read(tmp_path, repeated)


@pytest.mark.parametrize("seed", range(8))
def test_the_first_shared_vector_is_found_among_repeated_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    digests, others = (rng.integers(0, 8, (rows, 2)).astype(np.uint64) for rows in (20, 5))
    known = {tuple(other) for other in others.tolist()}
    expected = next((row for row, digest in enumerate(digests.tolist()) if tuple(digest) in known), None)
    assert first_shared(digests, others) == expected
    assert first_shared(digests, others + np.uint64(8)) is None
