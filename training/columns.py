"""Columns of paired features, read in bounded parts and checked value by value.

Every refusal is a DataError that names file, column and row; rows count from 0 within their file.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contract.errors import VectorError
from contract.spaces import FeatureSpace
from contract.vectors import Features, check_features
from training.errors import DataError
from training.images import IMAGE_SIDE, Images, decode_face

IMAGE_ID, IDENTITY, IMAGE = "image_id", "identity", "image"
DISTRACTOR = -1
BATCH_ROWS = 2048
READ_BUFFER_BYTES = 1024 * 1024  # of each column, so that memory stays flat even in one huge row group
DIGEST_BYTES = 16
DIGEST_STEP = 1e-4  # of a projection, which is about 1 in a random direction

KINDS = {
    IMAGE_ID: (pa.string(), pa.large_string()),
    IDENTITY: (pa.int32(),),
    IMAGE: (pa.binary(), pa.large_binary()),
}

Identities = NDArray[np.int32]
Digests = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of one file."""

    file: Path
    first_row: int
    batch: pa.RecordBatch

    def column(self, name: str) -> Any:  # noqa: ANN401 - pyarrow's arrays differ by type, and its stubs know too little
        """A column without missing values. Raises DataError."""
        column: Any = self.batch.column(name)
        if column.null_count:
            raise self.refusal("missing value", name, int(np.argmax(column.is_null())))
        return column

    def refusal(self, reason: str, column: str, row: int | None) -> DataError:
        """The error for a row of this part."""
        return DataError(str(self.file), reason, column=column, row=None if row is None else self.first_row + row)


def read_parts(file: Path, columns: list[str]) -> Iterator[Part]:
    """The file in parts of at most 2,048 rows. Raises DataError when it is damaged."""
    row = 0
    try:
        with pq.ParquetFile(file, buffer_size=READ_BUFFER_BYTES, pre_buffer=False) as parquet:
            for batch in parquet.iter_batches(BATCH_ROWS, columns=columns):
                yield Part(file, row, batch)
                row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(str(file), "cannot be read on (truncated or damaged)", row=row) from error


def check_columns(file: Path, columns: list[str], dims: dict[str, int]) -> None:
    """Refuse a file without these columns and feature spaces, or with other types. Raises DataError."""
    schema = schema_of(file)
    for name in columns:
        if name not in schema.names:
            raise DataError(str(file), f"no such column; there are {', '.join(schema.names)}", column=name)
        _check_once(file, schema, name)
        found = schema.field(name).type
        if found not in KINDS[name]:
            raise DataError(str(file), f"is {found}, not {KINDS[name][0]}", column=name)
    for space, dim in dims.items():
        found_dim = dimension(file, space)
        if found_dim != dim:
            raise DataError(str(file), f"dimension {found_dim}, not {dim} as in the files before", column=space)


def dimension(file: Path, space: str) -> int:
    """Dimension of a feature column. Raises DataError when there is none of that name."""
    if space not in schema_of(file).names:
        spaces = ", ".join(feature_spaces(file)) or "none"
        raise DataError(str(file), f"no such feature space; there are {spaces}", column=space)
    _check_once(file, schema_of(file), space)
    kind: Any = schema_of(file).field(space).type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        _check_lengths(file, space)
    if not pa.types.is_fixed_size_list(kind) or not pa.types.is_float32(kind.value_type):
        raise DataError(str(file), f"is {kind}, not fixed_size_list<float32>", column=space)
    try:
        return FeatureSpace(id=space, dim=int(kind.list_size)).dim
    except ValueError as error:
        reason = "its name or dimension is outside the grammar of feature spaces"
        raise DataError(str(file), reason, column=space) from error


def _check_lengths(file: Path, space: str) -> None:
    """Refuse rows of unequal lengths, which a column without a fixed size lets in, by the first that differs."""
    length: int | None = None
    for part in read_parts(file, [space]):
        lengths = np.asarray(pc.list_value_length(part.column(space)))
        if length is None and len(lengths):
            length = int(lengths[0])
        other = np.flatnonzero(lengths != length)
        if len(other):
            row = int(other[0])
            raise part.refusal(f"holds {lengths[row]} numbers, not {length} as the rows before", space, row)


def _check_once(file: Path, schema: pa.Schema, name: str) -> None:
    """Refuse a name that Parquet allows twice: which of the columns is meant nobody can tell."""
    if (count := schema.names.count(name)) > 1:
        raise DataError(str(file), f"occurs {count} times", column=name)


def schema_of(file: Path) -> pa.Schema:
    """A Parquet file's columns. Raises DataError for what is no whole Parquet file."""
    try:
        return pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(str(file), "not a whole Parquet file (truncated or of another format)") from error


def feature_spaces(file: Path) -> list[str]:
    """Names of the feature columns. Raises DataError."""
    return [field.name for field in schema_of(file) if pa.types.is_fixed_size_list(field.type)]


def features(part: Part, space: str) -> Features:
    """Raw features [n, dim]. Raises DataError for nulls, NaN, infinities, absurd magnitudes and zero vectors."""
    column = part.column(space)
    entries, dim = column.flatten(), column.type.list_size
    if entries.null_count:  # numpy would make them NaN
        raise part.refusal("holds null", space, int(np.argmax(entries.is_null())) // dim)
    vectors = np.asarray(entries, dtype=np.float32).reshape(len(column), dim)
    try:
        check_features(vectors, dim)
    except VectorError as error:
        raise part.refusal(error.reason, space, error.row) from error
    return vectors


def identities(part: Part) -> Identities:
    """Identities [n], -1 for a distractor. Raises DataError below that."""
    numbers = np.asarray(part.column(IDENTITY), dtype=np.int32)
    below = numbers < DISTRACTOR
    if below.any():
        raise part.refusal(f"identity below {DISTRACTOR}", IDENTITY, int(np.argmax(below)))
    return numbers


def faces(part: Part) -> Images:
    """Decoded face crops [n, 56, 56, 3]. Raises DataError for what is no such image."""
    pixels = np.empty((part.batch.num_rows, IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8)
    for row, encoded in enumerate(part.column(IMAGE)):
        try:
            pixels[row] = decode_face(encoded.as_py())
        except ValueError as error:
            raise part.refusal(str(error), IMAGE, row) from error
    return pixels


def image_id_digests(part: Part) -> Digests:
    """128-bit digests [n, 2] of the image ids: what it takes to know them apart in 16 bytes a row.

    Of their bytes, for nothing that writes Parquet has to make sure that they are UTF-8.
    """
    image_ids = part.column(IMAGE_ID).cast(pa.large_binary()).to_pylist()
    digests = [hashlib.blake2b(image_id, digest_size=DIGEST_BYTES).digest() for image_id in image_ids]
    return np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)


def vector_digests(vectors: Features) -> Digests:
    """128-bit digests [n, 2] of vectors [n, dim], whatever their lengths: four random projections of the unit vector.

    Rounded so coarsely that a multiple has the same digest though float32 rounded its entries anew (but for one in a
    thousand), and so finely that other photos, and copies with a thousandth of noise, have others.
    """
    axes = np.random.default_rng(vectors.shape[1]).standard_normal((vectors.shape[1], 4))  # [dim, 4]
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))  # [n]
    steps: NDArray[np.float64] = np.rint(vectors @ axes / (DIGEST_STEP * lengths[:, None]))  # [n, 4]
    return steps.astype(np.int32).view(np.uint64)
