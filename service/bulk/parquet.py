"""Parquet in bounded parts, checked value by value. Rows count from 0 within their file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contract.errors import VectorError
from contract.spaces import FeatureSpace
from contract.vectors import Features, check_features
from service.bulk.errors import DataError, data_error

BATCH_ROWS = 2048
READ_BUFFER_BYTES = 1024 * 1024  # of each column, so that memory stays flat even in one huge row group


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows of one file."""

    file: Path
    first_row: int
    batch: pa.RecordBatch

    def __len__(self) -> int:
        """Rows."""
        return int(self.batch.num_rows)

    def column(self, name: str) -> Any:  # noqa: ANN401 - pyarrow's arrays differ by type, and its stubs know too little
        """A column without missing values. Raises DataError."""
        column: Any = self.batch.column(name)
        if column.null_count:
            raise self.refusal("missing value", name, int(np.argmax(column.is_null())))
        return column

    def features(self, name: str) -> Features:
        """Raw features [n, d]. Raises DataError for NaN, infinities, absurd magnitudes and zero vectors."""
        try:
            return features_of(self.batch.column(name))
        except VectorError as error:
            raise self.refusal(error.reason, name, error.row) from None

    def refusal(self, reason: str, column: str, row: int | None) -> DataError:
        """The error for a row of this part."""
        return data_error(self.file, reason, column=column, row=None if row is None else self.first_row + row)


def parquet_files(path: Path) -> list[Path]:
    """The file, or the `*.parquet` files of a folder in name order. Raises DataError."""
    if path.is_dir():
        files = sorted(path.glob("*.parquet"))
        if not files:
            raise data_error(path, "folder without *.parquet files")
        return files
    if not path.is_file():
        raise data_error(path, "no such file")
    return [path]


def footer_of(file: Path) -> tuple[pa.Schema, int]:
    """A Parquet file's columns and rows. Raises DataError for what is no whole Parquet file."""
    try:
        with pq.ParquetFile(file) as parquet:
            return parquet.schema_arrow, int(parquet.metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise data_error(file, "not a whole Parquet file (truncated or of another format)") from error


def read_rows(
    file: Path, columns: list[str] | None = None, start: int = 0, stop: int | None = None, batch_rows: int = BATCH_ROWS
) -> Iterator[Rows]:
    """Rows [start, stop) of a file in parts of at most `batch_rows`. Raises DataError when it is damaged."""
    row = start
    try:
        with pq.ParquetFile(file, buffer_size=READ_BUFFER_BYTES, pre_buffer=False) as parquet:
            stop = parquet.metadata.num_rows if stop is None else stop
            groups, row = _groups_between(parquet.metadata, start, stop)
            batches = parquet.iter_batches(batch_rows, row_groups=groups, columns=columns, use_threads=False)
            for batch in batches if groups else ():
                batch.validate(full=True)  # a reader of pages takes any bytes for text
                first, row = row, row + batch.num_rows
                begin, end = max(first, start), min(row, stop)
                if begin < end:
                    yield Rows(file, begin, batch.slice(begin - first, end - begin))
    except (pa.ArrowException, OSError) as error:
        raise data_error(file, "cannot be read on (truncated or damaged)", row=row) from error


def feature_dim(file: Path, schema: pa.Schema, name: str) -> int:
    """Dimension of a feature column. Raises DataError where it is none, or its rows have unequal lengths."""
    check_once(file, schema, name)
    kind: Any = schema.field(name).type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        _check_lengths(file, name)
    if not pa.types.is_fixed_size_list(kind) or not pa.types.is_float32(kind.value_type):
        raise data_error(file, f"is {kind}, not fixed_size_list<float32>", column=name)
    try:
        return FeatureSpace(id="any", dim=int(kind.list_size)).dim
    except ValueError:
        raise data_error(file, f"{kind.list_size} is no dimension of a feature space", column=name) from None


def check_features_of(file: Path, name: str) -> None:
    """Refuse a feature column by its first row that is no usable feature. Raises DataError."""
    for rows in read_rows(file, [name]):
        rows.features(name)


def check_once(file: Path, schema: pa.Schema, name: str) -> None:
    """Refuse a column that is missing, or that stands twice: nobody can tell which is meant. Raises DataError."""
    count = schema.names.count(name)
    if count == 0:
        raise data_error(file, f"no such column; there are {', '.join(schema.names) or 'none'}", column=name)
    if count > 1:
        raise data_error(file, f"occurs {count} times", column=name)


def features_of(column: Any) -> Features:  # noqa: ANN401 - see Rows.column
    """A fixed_size_list<float32> column as features [n, d], checked. Raises VectorError with the row."""
    if column.null_count:
        raise VectorError(int(np.argmax(column.is_null())), "not_finite", "missing value")
    flat = np.asarray(column.flatten(), dtype=np.float32)  # a missing number becomes NaN
    features = flat.reshape(len(column), column.type.list_size)
    check_features(features, features.shape[1])
    return features


def feature_array(features: Features) -> "pa.Array[Any]":
    """Features [n, d] as a fixed_size_list<float32> column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1), pa.float32()), features.shape[1])


def _groups_between(metadata: pq.FileMetaData, start: int, stop: int) -> tuple[list[int], int]:
    """The row groups that hold rows [start, stop), and the first row of the first of them."""
    groups, first_row, row = list[int](), start, 0
    for group in range(metadata.num_row_groups):
        begin, row = row, row + metadata.row_group(group).num_rows
        if begin < stop and row > start:
            first_row = first_row if groups else begin
            groups.append(group)
    return groups, first_row


def _check_lengths(file: Path, name: str) -> None:
    """Refuse rows of unequal lengths, which a column without a fixed size lets in, by the first that differs."""
    length: int | None = None
    for rows in read_rows(file, [name]):
        lengths = np.asarray(pc.list_value_length(rows.column(name)))
        length = int(lengths[0]) if length is None else length
        other = np.flatnonzero(lengths != length)
        if len(other):
            found = lengths[other[0]]
            raise rows.refusal(f"holds {found} numbers, not {length} as the rows before", name, int(other[0]))
