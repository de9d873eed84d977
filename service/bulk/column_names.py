"""Which columns of a Parquet file hold what: the form of an export, or that of training data."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from service.bulk.errors import JobError, data_error
from service.bulk.parquet import check_once

# What is looked for where nothing is named: first an export's columns, then those of paired features.
FACE_ID, IMAGE_ID = "face_id", "image_id"
SUBJECT, IDENTITY = "subject", "identity"
FEATURE = "feature"
DERIVED_FROM, TRANSLATOR, CONFIDENCE = "derived_from", "translator", "confidence"  # of a translation
TAGS, ENROLLED_AT, METADATA, SUBJECT_METADATA = "tags", "enrolled_at", "metadata", "subject_metadata"


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Names of columns as the caller gives them; None is left to the file."""

    face_id: str | None = None
    subject: str | None = None
    feature: str | None = None


AS_THEY_ARE = ColumnNames()


@dataclass(frozen=True, slots=True)
class FaceColumns:
    """Names of the columns a file has; None where it has none of the kind."""

    face_id: str
    subject: str
    feature: str
    tags: str | None
    enrolled_at: str | None
    metadata: str | None
    subject_metadata: str | None

    @property
    def all(self) -> list[str]:
        """Every column there is."""
        optional = (self.tags, self.enrolled_at, self.metadata, self.subject_metadata)
        return [self.face_id, self.subject, self.feature, *(name for name in optional if name is not None)]


def feature_column(schema: pa.Schema, space: str, given: str | None) -> str:
    """The named column; else `feature`; else, where there is none, the one that a space names."""
    return given or (space if FEATURE not in schema.names and space in schema.names else FEATURE)


def face_columns(file: Path, schema: pa.Schema, space: str, given: ColumnNames) -> FaceColumns:
    """The columns to import a file by. Raises DataError where one is missing or of another type."""
    columns = FaceColumns(
        face_id=given.face_id or _first_of(schema, FACE_ID, IMAGE_ID),
        subject=given.subject or _first_of(schema, SUBJECT, IDENTITY),
        feature=feature_column(schema, space, given.feature),
        tags=TAGS if TAGS in schema.names else None,
        enrolled_at=ENROLLED_AT if ENROLLED_AT in schema.names else None,
        metadata=METADATA if METADATA in schema.names else None,
        subject_metadata=SUBJECT_METADATA if SUBJECT_METADATA in schema.names else None,
    )
    if DERIVED_FROM in schema.names:  # they would pass for natives, and be translated again one day
        raise data_error(file, "holds translations; import originals, the gateway translates", column=DERIVED_FROM)
    for name in columns.all:
        check_once(file, schema, name)
    expected: tuple[tuple[str | None, Callable[[Any], bool], str], ...] = (
        (columns.face_id, _is_id, "string"),
        (columns.subject, _is_id, "string"),
        (columns.tags, _is_tags, "list<string>"),
        (columns.enrolled_at, pa.types.is_timestamp, "timestamp"),
        (columns.metadata, _is_text, "string"),
        (columns.subject_metadata, _is_text, "string"),
    )
    for column, fits, kind in expected:
        if column is not None and not fits(schema.field(column).type):
            raise data_error(file, f"is {schema.field(column).type}, not {kind}", column=column)
    return columns


def fingerprint_of_columns(columns: Sequence[FaceColumns]) -> str:
    """One sha256 over the columns of all files, in order."""
    return hashlib.sha256(orjson.dumps(columns)).hexdigest()


def check_space(file: Path, column: str, space: str, known: set[str]) -> None:
    """Refuse a column that is named after another space than the one it is said to hold. Raises JobError."""
    if column != space and column in known:
        raise JobError(f"{file}, column {column}: holds features of {column}, not of {space}")


def _first_of(schema: pa.Schema, name: str, other: str) -> str:
    return other if name not in schema.names and other in schema.names else name


def _is_text(kind: Any) -> bool:  # noqa: ANN401 - pyarrow's types have no common stub
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_id(kind: Any) -> bool:  # noqa: ANN401
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return _is_text(kind) or pa.types.is_integer(kind)


def _is_tags(kind: Any) -> bool:  # noqa: ANN401
    return (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _is_text(kind.value_type)
