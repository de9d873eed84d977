"""Rows that repeat another one are refused by the later one, counted within its own file."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.training.samples import SOURCE, TARGET, Columns, sample_columns
from training.columns import DISTRACTOR
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
    with pytest.raises(DataError, match=r"occurs before|same vector as in a row before") as refused:
        read(tmp_path, repeated)
    assert place.format(name) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", [SOURCE, TARGET])
def test_one_vector_of_one_identity_twice_is_refused_too(tmp_path: Path, name: str) -> None:
    """A gallery face would be its own probe."""
    columns = sample_columns()
    assert columns["identity"][1] == columns["identity"][3]
    with pytest.raises(DataError, match=rf"a\.parquet, column {name}, row 3: same vector as in a row before$"):
        read(tmp_path, put(columns, name, 3, columns[name][1].as_py()))


@pytest.mark.parametrize("name", [SOURCE, TARGET])
def test_a_distractor_twice_is_refused_too(tmp_path: Path, name: str) -> None:
    columns = put(put(sample_columns(), "identity", 1, DISTRACTOR), "identity", 9, DISTRACTOR)
    with pytest.raises(DataError, match=rf"a\.parquet, column {name}, row 9: same vector as in a row before$"):
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
