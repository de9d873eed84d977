"""Parquet is read in bounded parts, and what cannot be used is refused by file, column and row."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from service.bulk.errors import DataError
from service.bulk.parquet import (
    check_features_of,
    check_once,
    feature_array,
    feature_dim,
    footer_of,
    parquet_files,
    read_rows,
)
from tests.parquet import face_table, features_of_rows, replaced, write

ROW = 17


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "faces.parquet"


@pytest.mark.parametrize("group_rows", [3, 10, 100])
@pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 0), (4, 11), (9, 10), (29, None), (10, 20), (30, None)])
def test_any_range_of_rows_is_read_with_its_place(file: Path, group_rows: int, start: int, stop: int | None) -> None:
    table = face_table(30)
    write(file, table, group_rows)
    read = list(read_rows(file, ["face_id"], start, stop, batch_rows=4))
    assert all(1 <= len(rows) <= 4 for rows in read)
    assert [rows.first_row for rows in read] == list(np.cumsum([start, *(len(rows) for rows in read)]))[: len(read)]
    face_ids = [face_id for rows in read for face_id in rows.column("face_id").to_pylist()]
    assert face_ids == table.column("face_id").to_pylist()[start:stop]


def with_feature(change: Callable[[np.ndarray], None]) -> pa.Table:
    features = features_of_rows(30)
    change(features)
    return replaced(face_table(30), "feature", feature_array(features))


def with_missing(row: int) -> pa.Table:
    values = [None if n == row else list(map(float, f)) for n, f in enumerate(features_of_rows(30))]
    return replaced(face_table(30), "feature", pa.array(values, pa.list_(pa.float32(), 24)))


BAD_ROWS = {
    "NaN": (with_feature(lambda f: f[ROW].__setitem__(3, np.nan)), "holds NaN or infinity"),
    "infinity": (with_feature(lambda f: f[ROW].__setitem__(3, -np.inf)), "holds NaN or infinity"),
    "zero": (with_feature(lambda f: f[ROW].__setitem__(slice(None), 0)), "zero vector"),
    "absurd": (with_feature(lambda f: f[ROW].__setitem__(3, 1e9)), "exceeds"),
    "missing": (with_missing(ROW), "missing value"),
}


@pytest.mark.parametrize(("table", "reason"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_row_that_is_no_feature_is_named(file: Path, table: pa.Table, reason: str) -> None:
    write(file, table, 10)
    with pytest.raises(DataError, match=rf"faces.parquet, column feature, row {ROW}: .*{reason}"):
        check_features_of(file, "feature")


def test_rows_of_unequal_lengths_are_named(file: Path) -> None:
    lists = [[1.0] * (3 if n == ROW else 4) for n in range(30)]
    write(file, pa.table({"feature": pa.array(lists, pa.list_(pa.float32()))}))
    with pytest.raises(DataError, match=rf"column feature, row {ROW}: holds 3 numbers, not 4"):
        feature_dim(file, footer_of(file)[0], "feature")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (pa.list_(pa.float32()), "not fixed_size_list<float32>"),
        (pa.list_(pa.float64(), 4), "not fixed_size_list<float32>"),
        (pa.list_(pa.float32(), 9000), "9000 is no dimension"),
    ],
)
def test_a_column_of_another_type_is_no_feature(file: Path, kind: pa.DataType, reason: str) -> None:
    write(file, pa.table({"feature": pa.array([], kind)}))
    with pytest.raises(DataError, match=reason):
        feature_dim(file, footer_of(file)[0], "feature")


def test_a_column_must_be_there_once(file: Path) -> None:
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["subject", "subject"])
    with pytest.raises(DataError, match="column subject: occurs 2 times"):
        check_once(file, twice.schema, "subject")
    with pytest.raises(DataError, match="column face_id: no such column; there are subject, subject"):
        check_once(file, twice.schema, "face_id")


@pytest.mark.parametrize("kept", [0, 4, 1000])
def test_a_truncated_file_is_refused_by_its_name(file: Path, kept: int) -> None:
    write(file, face_table(100))
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"faces.parquet: not a whole Parquet file"):
        footer_of(file)


def test_a_file_that_is_damaged_inside_is_refused_with_the_row_reached(file: Path) -> None:
    write(file, face_table(100), 10)
    content = bytearray(file.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"faces.parquet, row 0: cannot be read on"):
        list(read_rows(file))


def test_what_is_no_parquet_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        parquet_files(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"folder without \*.parquet files"):
        parquet_files(tmp_path)


@pytest.mark.parametrize("dictionary", [False, True])
def test_bytes_that_are_no_text_are_refused(file: Path, dictionary: bool) -> None:
    texts = pa.array([b"a", b"b", b"\xff\xfe"]).view(pa.string())
    write(file, replaced(face_table(3), "subject", texts.dictionary_encode() if dictionary else texts))
    with pytest.raises(DataError, match=r"faces.parquet, row 0: cannot be read on"):
        list(read_rows(file, ["subject"]))
