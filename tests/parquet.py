"""Parquet files of faces for tests of bulk work."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contract.manifest import sha256_of
from contract.vectors import Features
from service.bulk.column_names import FEATURE
from service.bulk.export_folder import Export, ExportedPart, ExportedSpace, sha256_of_spaces, write_export
from service.bulk.parquet import feature_array
from service.bulk.sources import SPACE_KEY
from tests.repository import SOURCE

INSTANT_MS = 1_700_000_000_000


def features_of_rows(rows: int, dim: int = SOURCE.dim, seed: int = 0) -> Features:
    """Raw features [rows, dim], seeded."""
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def face_table(rows: int, dim: int = SOURCE.dim, seed: int = 0, first: int = 0) -> pa.Table:
    """So many faces in the form of an export, two of each subject."""
    numbers = range(first, first + rows)
    return pa.table(
        {
            "face_id": [f"face-{n:05d}" for n in numbers],
            "subject": [f"subject-{n // 2:05d}" for n in numbers],
            "tags": pa.array([["door-1"] if n % 3 else [] for n in numbers], pa.list_(pa.string())),
            "enrolled_at": pa.array([INSTANT_MS + n for n in numbers], pa.timestamp("ms", "UTC")),
            "metadata": [f'{{"number":{n}}}' if n % 2 else "{}" for n in numbers],
            "subject_metadata": [f'{{"case":{n // 2}}}' if n // 2 % 2 else "{}" for n in numbers],
            "feature": feature_array(features_of_rows(rows, dim, seed)),
        }
    )


def training_table(rows: int, space: str, dim: int, seed: int = 0) -> pa.Table:
    """So many faces in the form of paired features."""
    return pa.table(
        {
            "image_id": [f"image-{n:05d}" for n in range(rows)],
            "identity": pa.array([n // 2 for n in range(rows)], pa.int32()),
            space: feature_array(features_of_rows(rows, dim, seed)),
        }
    )


def replaced(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    """The table with another column in place of one."""
    return table.set_column(table.schema.get_field_index(column), column, values)


def write(file: Path, table: pa.Table, row_group_rows: int = 1000) -> Path:
    """Write a file and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, row_group_rows)
    return file


def export_of(folder: Path, tables: Mapping[str, pa.Table]) -> Path:
    """Write an export of faces by the space they were enrolled in; returns its folder."""
    spaces = {}
    for space, table in tables.items():
        labelled = table.replace_schema_metadata({SPACE_KEY: space.encode()})
        file = write(folder / space / "part-00000.parquet", labelled)
        part = ExportedPart(file=file.name, rows=table.num_rows, sha256=sha256_of(file))
        dim = table.schema.field(FEATURE).type.list_size
        spaces[space] = ExportedSpace(dim=dim, faces=table.num_rows, parts=(part,))
    sha256 = sha256_of_spaces(spaces)
    write_export(Export(gallery="g", spaces=spaces, sha256=sha256, exported_at=datetime.now(UTC)), folder)
    return folder
