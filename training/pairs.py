"""Paired features: Parquet in, arrays out. Streamed row group by row group into files that are memory-mapped."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
from numpy.typing import NDArray

from contract.errors import VectorError
from contract.manifest import sha256_of
from contract.spaces import FeatureSpace
from contract.vectors import Features, check_features
from training.errors import DataError

IDENTITY, IMAGE, IMAGE_ID = "identity", "image", "image_id"
IMAGE_SIDE = 56
BATCH_ROWS = 2048
DISTRACTOR = -1

Images = NDArray[np.uint8]
Identities = NDArray[np.int32]
OnRows = Callable[[int, int], None]  # rows done, rows in all


@dataclass(frozen=True, slots=True)
class PairedFeatures:
    """Rows of one data set in memory-mapped arrays, aligned with each other."""

    path: Path
    fingerprint: str  # sha256 over the files, in name order
    identities: Identities  # [N]
    features: dict[str, Features]  # space id -> [N, dim], raw
    images: Images | None  # [N, 56, 56, 3]

    def __len__(self) -> int:
        """Rows."""
        return len(self.identities)

    def space(self, name: str) -> FeatureSpace:
        """The feature space of a column."""
        return FeatureSpace(id=name, dim=self.features[name].shape[1])


def read_pairs(
    path: Path, spaces: list[str], cache_dir: Path, *, images: bool = False, on_rows: OnRows | None = None
) -> PairedFeatures:
    """Read the named spaces of a Parquet file, or of a folder of them, through at most 2,048 rows at a time.

    `cache_dir` receives the decoded arrays, so that memory stays flat whatever the number of rows.

    Raises:
        DataError: a file, column or row that cannot be used, by name.
    """
    files = parquet_files(path)
    rows = sum(_rows_of(file) for file in files)
    if rows == 0:
        raise DataError(str(path), "holds no rows")
    cache_dir.mkdir(parents=True, exist_ok=True)
    columns = [IDENTITY, *spaces, *([IMAGE] if images else [])]
    dims = {space: _dimension(files[0], space) for space in spaces}
    arrays = {
        space: _allocate(cache_dir / f"{i}.npy", (rows, dim), np.float32) for i, (space, dim) in enumerate(dims.items())
    }
    identities = _allocate(cache_dir / "identity.npy", (rows,), np.int32)
    faces = _allocate(cache_dir / "image.npy", (rows, IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8) if images else None
    done = 0
    for file in files:
        for space, dim in dims.items():
            if _dimension(file, space) != dim:
                raise DataError(str(file), f"dimension differs from {files[0].name}'s {dim}", column=space)
        for batch, first_row in _batches(file, columns):
            end = done + batch.num_rows
            identities[done:end] = identity_column(batch, file, first_row)
            for space in spaces:
                arrays[space][done:end] = feature_column(batch, space, file, first_row)
            if faces is not None:
                faces[done:end] = _image_column(batch, file, first_row)
            done = end
            if on_rows is not None:
                on_rows(done, rows)
    if len(np.unique(identities[identities != DISTRACTOR])) < 2:
        raise DataError(str(path), "fewer than two identities", column=IDENTITY)
    return PairedFeatures(path, fingerprint(files), identities, arrays, faces)


def parquet_files(path: Path) -> list[Path]:
    """The file, or the `*.parquet` files of a folder in name order. Raises DataError."""
    if path.is_dir():
        files = sorted(path.glob("*.parquet"))
        if not files:
            raise DataError(str(path), "folder without *.parquet files")
        return files
    if not path.is_file():
        raise DataError(str(path), "no such file")
    return [path]


def fingerprint(files: list[Path]) -> str:
    """sha256 of the files' sha256s, in order; one file's own sha256 is not special."""
    return hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()


def schema_of(file: Path) -> pa.Schema:
    """A Parquet file's columns. Raises DataError for what is no (whole) Parquet file."""
    try:
        return pq.read_schema(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(str(file), "not a whole Parquet file (truncated or of another format)") from error


def feature_spaces(file: Path) -> list[str]:
    """Names of the feature columns."""
    return [field.name for field in schema_of(file) if pa.types.is_fixed_size_list(field.type)]


def feature_column(batch: pa.RecordBatch, space: str, file: Path, first_row: int) -> Features:
    """A feature column as raw [N, dim] float32. Raises DataError naming the row."""
    column = batch.column(space)
    if column.null_count:
        raise DataError(str(file), "missing feature", column=space, row=first_row + _first_null(column))
    features = np.asarray(column.flatten(), dtype=np.float32).reshape(len(column), column.type.list_size)
    try:
        check_features(features, features.shape[1])
    except VectorError as error:
        row = None if error.row is None else first_row + error.row
        raise DataError(str(file), error.reason, column=space, row=row) from error
    return features


def identity_column(batch: pa.RecordBatch, file: Path, first_row: int) -> Identities:
    """The identity column [N]; -1 marks a distractor. Raises DataError naming the row."""
    column = batch.column(IDENTITY)
    if column.null_count:
        raise DataError(str(file), "missing identity", column=IDENTITY, row=first_row + _first_null(column))
    identities = np.asarray(column, dtype=np.int32)
    below = identities < DISTRACTOR
    if below.any():
        raise DataError(str(file), "identity below -1", column=IDENTITY, row=first_row + int(np.argmax(below)))
    return identities


def _batches(file: Path, columns: list[str]) -> Iterator[tuple[pa.RecordBatch, int]]:
    schema = schema_of(file)
    for name in columns:
        if name not in schema.names:
            raise DataError(str(file), f"no such column; there are {', '.join(schema.names)}", column=name)
    first_row = 0
    try:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(BATCH_ROWS, columns=columns):
                yield batch, first_row
                first_row += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(str(file), "cannot be read on (truncated or damaged)", row=first_row) from error


def _rows_of(file: Path) -> int:
    schema_of(file)
    return int(pq.read_metadata(file).num_rows)


def _dimension(file: Path, space: str) -> int:
    schema = schema_of(file)
    if space not in schema.names:
        spaces = ", ".join(feature_spaces(file)) or "none"
        raise DataError(str(file), f"no such feature space; there are {spaces}", column=space)
    kind = schema.field(space).type
    if not pa.types.is_fixed_size_list(kind) or not pa.types.is_float32(kind.value_type):
        raise DataError(str(file), f"is {kind}, not fixed_size_list<float32>", column=space)
    try:
        return FeatureSpace(id=space, dim=int(kind.list_size)).dim
    except ValueError as error:
        raise DataError(
            str(file), "the name or dimension is outside the grammar of feature spaces", column=space
        ) from error


def _image_column(batch: pa.RecordBatch, file: Path, first_row: int) -> Images:
    faces = np.empty((batch.num_rows, IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8)
    for row, encoded in enumerate(batch.column(IMAGE)):
        data: Any = encoded.as_py()
        if data is None:
            raise DataError(str(file), "missing image", column=IMAGE, row=first_row + row)
        try:
            face = simplejpeg.decode_jpeg(data, colorspace="RGB")
        except ValueError as error:
            raise DataError(str(file), "not a JPEG image", column=IMAGE, row=first_row + row) from error
        if face.shape != faces.shape[1:]:
            size = f"{face.shape[1]}x{face.shape[0]}"
            raise DataError(str(file), f"image is {size}, not 56x56", column=IMAGE, row=first_row + row)
        faces[row] = face
    return faces


def _allocate(file: Path, shape: tuple[int, ...], dtype: type) -> Any:  # noqa: ANN401 - a memmap of that dtype
    return np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)


def _first_null(column: pa.Array) -> int:
    return int(np.argmax(np.asarray(column.is_null())))
