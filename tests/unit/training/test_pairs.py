"""Paired features: what is read is what was written, and what cannot be used is refused by file, column and row."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.training.samples import (
    ROWS,
    SOURCE,
    SOURCE_DIM,
    TARGET,
    Columns,
    jpeg,
    png,
    sample_columns,
    vectors,
    write_pairs,
)
from training.errors import DataError
from training.pairs import allocate, feature_spaces, fingerprint, read_pairs

SPACES = [SOURCE, TARGET]


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    columns = sample_columns()
    pairs = read_pairs(write_pairs(tmp_path / "p.parquet", columns), SPACES, tmp_path / "cache", images=True)
    assert len(pairs) == ROWS
    np.testing.assert_array_equal(pairs.identities, columns["identity"].to_numpy())
    for space in SPACES:
        np.testing.assert_array_equal(pairs.features[space].ravel(), columns[space].flatten().to_numpy())
    assert pairs.images is not None
    assert pairs.images.shape == (ROWS, 56, 56, 3)
    assert pairs.space(SOURCE).dim == SOURCE_DIM


def test_jpeg_and_png_may_be_mixed(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (56, 56, 3), dtype=np.uint8)
    pairs = read_pairs(_changed(tmp_path, "image", 9, png(noise)), SPACES, tmp_path / "cache", images=True)
    assert pairs.images is not None
    np.testing.assert_array_equal(pairs.images[9], noise)


def test_a_folder_is_its_files_in_name_order(tmp_path: Path) -> None:
    whole = pa.table(sample_columns())
    folder = tmp_path / "parts"
    folder.mkdir()
    pq.write_table(whole.slice(20), folder / "b.parquet")
    pq.write_table(whole.slice(0, 20), folder / "a.parquet")
    pairs = read_pairs(folder, SPACES, tmp_path / "cache")
    assert pairs.images is None
    np.testing.assert_array_equal(pairs.identities, whole["identity"].to_numpy())


def test_progress_counts_up_to_all_rows(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    read_pairs(write_pairs(tmp_path / "p.parquet"), SPACES, tmp_path / "c", on_rows=lambda *done: seen.append(done))
    assert seen[-1] == (ROWS, ROWS)
    assert sorted(seen) == seen


def test_the_fingerprint_is_of_bytes_and_order(tmp_path: Path) -> None:
    a = write_pairs(tmp_path / "a.parquet")
    b = write_pairs(tmp_path / "b.parquet", sample_columns(seed=1))
    assert fingerprint([a]) == fingerprint([write_pairs(tmp_path / "copy.parquet")])
    assert len({fingerprint(files) for files in ([a], [b], [a, b], [b, a])}) == 4


def test_feature_spaces_are_the_list_columns(tmp_path: Path) -> None:
    assert feature_spaces(write_pairs(tmp_path / "p.parquet")) == SPACES


def _with(columns: Columns, name: str, row: int, value: object) -> Columns:
    values = columns[name].to_pylist()
    values[row] = value
    return columns | {name: pa.array(values, columns[name].type)}


def _changed(folder: Path, name: str, row: int, value: object) -> Path:
    return write_pairs(folder / "p.parquet", _with(sample_columns(), name, row, value))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("image_id", "image-3", "occurs before"),
        ("image_id", None, "missing value"),
        ("identity", None, "missing value"),
        ("identity", -2, "below -1"),
        ("image", None, "missing value"),
        ("image", b"hello", "neither JPEG nor PNG"),
        ("image", jpeg(np.zeros((64, 48, 3), np.uint8)), "48x64, not 56x56"),
        (SOURCE, None, "missing value"),
        (SOURCE, [0.0] * SOURCE_DIM, "zero vector"),
        (SOURCE, [1.0, float("nan")] * (SOURCE_DIM // 2), "NaN or infinity"),
        (SOURCE, [1.0, float("inf")] * (SOURCE_DIM // 2), "NaN or infinity"),
        (SOURCE, [1.0, None] * (SOURCE_DIM // 2), "holds null"),
        (SOURCE, [1e30] * SOURCE_DIM, "exceeds"),
    ],
)
def test_a_bad_value_is_refused_by_file_column_and_row(tmp_path: Path, name: str, value: object, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as refused:
        read_pairs(_changed(tmp_path, name, 17, value), SPACES, tmp_path / "cache", images=True)
    _assert_one_line(refused.value, f"{tmp_path / 'p.parquet'}, column {name}, row 17: ")


@pytest.mark.parametrize(("raw", "kind"), [(pa.binary(), pa.string()), (pa.large_binary(), pa.large_string())])
def test_image_ids_are_told_apart_by_their_bytes_which_need_not_be_text(
    tmp_path: Path, raw: pa.DataType, kind: pa.DataType
) -> None:
    names = [b"\xff%d" % row for row in range(ROWS)]
    distinct = sample_columns() | {"image_id": pa.array(names, raw).view(kind)}
    assert len(read_pairs(write_pairs(tmp_path / "p.parquet", distinct), SPACES, tmp_path / "cache")) == ROWS
    repeated = distinct | {"image_id": pa.array([*names[:17], names[3], *names[18:]], raw).view(kind)}
    with pytest.raises(DataError, match="column image_id, row 17: image_id occurs before"):
        read_pairs(write_pairs(tmp_path / "p.parquet", repeated), SPACES, tmp_path / "cache")


def test_a_message_holds_no_image_id(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        read_pairs(_changed(tmp_path, "image_id", 17, "image-3"), SPACES, tmp_path / "cache")
    assert "image-3" not in str(refused.value)


@pytest.mark.parametrize("name", ["image_id", "identity", "image", SOURCE])
def test_a_missing_column_is_refused_by_name(tmp_path: Path, name: str) -> None:
    columns = sample_columns()
    del columns[name]
    with pytest.raises(DataError, match="there are") as refused:
        read_pairs(write_pairs(tmp_path / "p.parquet", columns), SPACES, tmp_path / "cache", images=True)
    _assert_one_line(refused.value, f"{tmp_path / 'p.parquet'}, column {name}: ")


@pytest.mark.parametrize("name", ["image_id", "identity", "image", SOURCE])
def test_two_columns_of_one_name_are_refused_by_it(tmp_path: Path, name: str) -> None:
    table = pa.table(sample_columns())
    pq.write_table(table.append_column(name, table[name]), tmp_path / "p.parquet")
    with pytest.raises(DataError, match="occurs 2 times") as refused:
        read_pairs(tmp_path / "p.parquet", SPACES, tmp_path / "cache", images=True)
    _assert_one_line(refused.value, f"{tmp_path / 'p.parquet'}, column {name}: ")


LISTS = pa.array([[1.0] * SOURCE_DIM] * ROWS, pa.list_(pa.float32()))
UNEQUAL = pa.array([[1.0] * (SOURCE_DIM - row // 17) for row in range(ROWS)], pa.list_(pa.float32()))
DOUBLES = pa.array([[1.0] * SOURCE_DIM] * ROWS, pa.list_(pa.float64(), SOURCE_DIM))


@pytest.mark.parametrize(
    ("name", "column", "reason"),
    [
        ("image_id", pa.array(range(ROWS)), "is int64, not string"),
        ("identity", pa.array([str(row) for row in range(ROWS)]), "is string, not int32"),
        ("identity", pa.array(range(ROWS), pa.int64()), "is int64, not int32"),
        ("image", pa.array(["face"] * ROWS), "is string, not binary"),
        (SOURCE, LISTS, "not fixed_size_list<float32>"),
        (SOURCE, DOUBLES, "not fixed_size_list<float32>"),
        (SOURCE, pa.array([1.0] * ROWS, pa.float32()), "is float, not fixed_size_list<float32>"),
    ],
)
def test_a_wrong_type_is_refused_by_column(tmp_path: Path, name: str, column: pa.Array, reason: str) -> None:
    file = write_pairs(tmp_path / "p.parquet", sample_columns() | {name: column})
    with pytest.raises(DataError, match=reason) as refused:
        read_pairs(file, SPACES, tmp_path / "cache", images=True)
    _assert_one_line(refused.value, f"{file}, column {name}: ")


def test_rows_of_unequal_lengths_are_refused_by_the_first(tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "p.parquet", sample_columns() | {SOURCE: UNEQUAL})
    with pytest.raises(DataError, match="holds 7 numbers, not 8 as the rows before") as refused:
        read_pairs(file, SPACES, tmp_path / "cache")
    _assert_one_line(refused.value, f"{file}, column {SOURCE}, row 17: ")


def test_files_of_unequal_dimensions_are_refused(tmp_path: Path) -> None:
    write_pairs(tmp_path / "a.parquet")
    write_pairs(tmp_path / "b.parquet", sample_columns() | {SOURCE: vectors(np.ones((ROWS, SOURCE_DIM + 1)))})
    with pytest.raises(DataError, match="dimension 9, not 8") as refused:
        read_pairs(tmp_path, SPACES, tmp_path / "cache")
    _assert_one_line(refused.value, f"{tmp_path / 'b.parquet'}, column {SOURCE}: ")


def test_a_name_outside_the_grammar_is_refused(tmp_path: Path) -> None:
    columns = sample_columns()
    columns["Not A Space"] = columns.pop(SOURCE)
    with pytest.raises(DataError, match="grammar"):
        read_pairs(write_pairs(tmp_path / "p.parquet", columns), ["Not A Space", TARGET], tmp_path / "cache")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "p.parquet")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="not a whole Parquet file") as refused:
        read_pairs(file, SPACES, tmp_path / "cache")
    _assert_one_line(refused.value, f"{file}: ")


def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "p.parquet")
    damaged = bytearray(file.read_bytes())
    damaged[4:200] = bytes(196)
    file.write_bytes(damaged)
    with pytest.raises(DataError, match="truncated or damaged") as refused:
        read_pairs(file, SPACES, tmp_path / "cache")
    _assert_one_line(refused.value, f"{file}, row 0: ")


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.parquet").write_text("image_id,identity\n")
    with pytest.raises(DataError, match="not a whole Parquet file"):
        read_pairs(tmp_path / "p.parquet", SPACES, tmp_path / "cache")


def test_no_rows_no_file_no_files_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.parquet"
    pq.write_table(pa.table(sample_columns()).slice(0, 0), empty)
    (tmp_path / "folder").mkdir()
    for path, reason in [(empty, "no rows"), (tmp_path / "none", "no such file"), (tmp_path / "folder", "without")]:
        with pytest.raises(DataError, match=reason) as refused:
            read_pairs(path, SPACES, tmp_path / "cache")
        _assert_one_line(refused.value, f"{path}: ")


def test_one_identity_is_refused_and_distractors_are_none(tmp_path: Path) -> None:
    identity = pa.array([7] * (ROWS - 5) + [-1] * 5, pa.int32())
    with pytest.raises(DataError, match="fewer than two identities"):
        read_pairs(
            write_pairs(tmp_path / "p.parquet", sample_columns() | {"identity": identity}), SPACES, tmp_path / "cache"
        )


def test_a_full_disk_is_refused_by_the_file_that_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mapped memory without its room on the disk ends the process with SIGBUS at the first row that finds none."""
    reserved: list[int] = []

    def reserve(_: int, offset: int, bytes_: int) -> None:
        reserved.append(bytes_)
        if len(reserved) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", reserve)
    with pytest.raises(DataError, match=r"no room for \d+ bytes: No space left on device") as refused:
        read_pairs(write_pairs(tmp_path / "p.parquet"), SPACES, tmp_path / "cache")
    _assert_one_line(refused.value, f"{tmp_path / 'cache' / '0.npy'}: ")
    assert reserved[1] >= ROWS * SOURCE_DIM * 4


def test_mapped_memory_has_its_room_before_anything_is_written(tmp_path: Path) -> None:
    allocate(tmp_path / "0.npy", (1000, 512), np.float32)
    assert (tmp_path / "0.npy").stat().st_blocks * 512 >= 1000 * 512 * 4


PEAK_OF_READING = """
import json, sys, tracemalloc
from pathlib import Path
import pyarrow as pa
from training.pairs import read_pairs
read_pairs(Path(sys.argv[1]), ["wide-512"], Path(sys.argv[2] + "-first"))  # loads what pyarrow loads at its first use
tracemalloc.start()
read_pairs(Path(sys.argv[1]), ["wide-512"], Path(sys.argv[2]))
print(json.dumps([tracemalloc.get_traced_memory()[1], pa.default_memory_pool().max_memory()]))
"""


def test_memory_stays_flat_whatever_the_rows_even_in_one_row_group(tmp_path: Path) -> None:
    peaks = []
    for rows in (10_000, 40_000):
        wide = np.random.default_rng(0).random((rows, 512), dtype=np.float32)
        columns = {
            "image_id": pa.array([str(row) for row in range(rows)]),
            "identity": pa.array(np.arange(rows) // 2, pa.int32()),
            "wide-512": vectors(wide),
        }
        file = tmp_path / f"{rows}.parquet"
        pq.write_table(pa.table(columns), file, row_group_size=rows, compression="none", use_dictionary=False)
        command = [sys.executable, "-c", PEAK_OF_READING, str(file), str(tmp_path / f"cache-{rows}")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        peaks.append(sum(json.loads(done.stdout)))
    bytes_of_larger = 40_000 * 512 * 4
    assert peaks[1] < bytes_of_larger / 2
    assert peaks[1] - peaks[0] < bytes_of_larger / 20, peaks


def _assert_one_line(error: DataError, start: str) -> None:
    assert str(error).startswith(start), str(error)
    assert "\n" not in str(error)
