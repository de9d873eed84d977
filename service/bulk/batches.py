"""Faces on their way into a gateway: batches of rows, cut so that none has a face_id twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from contract.vectors import Features, encode_float32
from service.bulk.column_names import FaceColumns
from service.bulk.parquet import Rows, read_rows
from service.galleries.values import NO_METADATA

Body = dict[str, object]


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows of one file as the gateway takes them: faces [n] and raw features [n, d]."""

    file: Path
    first_row: int
    space: str
    faces: list[dict[str, object]]
    features: Features

    def __len__(self) -> int:
        """Faces."""
        return len(self.faces)

    def cut(self, start: int, stop: int) -> "Batch":
        """Rows [start, stop) of the batch."""
        faces, features = self.faces[start:stop], self.features[start:stop]
        return Batch(self.file, self.first_row + start, self.space, faces, features)

    @property
    def face_ids(self) -> list[str]:
        """Of each row."""
        return [str(face["face_id"]) for face in self.faces]

    def body(self) -> Body:
        """For POST /galleries/{gallery}/faces."""
        features = [encode_float32(row) for row in self.features]
        return {"source_model": self.space, "encoding_format": "base64", "features": features, "faces": self.faces}


def read_batches(file: Path, space: str, columns: FaceColumns, start: int, batch_rows: int) -> Iterator[Batch]:
    """The rows of a file from `start` on, in order. Raises DataError."""
    for rows in read_rows(file, columns.all, start, batch_rows=batch_rows):
        batch = Batch(file, rows.first_row, space, _faces(rows, columns), rows.features(columns.feature))
        yield from _without_repeats(batch)


def _without_repeats(batch: Batch) -> Iterator[Batch]:
    """Cut before a face_id that stands before: the gateway takes each once in a request, and the later row wins."""
    start, seen = 0, set[str]()
    for row, face_id in enumerate(batch.face_ids):
        if face_id in seen:
            yield batch.cut(start, row)
            start, seen = row, set()
        seen.add(face_id)
    yield batch.cut(start, len(batch))


def _faces(rows: Rows, columns: FaceColumns) -> list[dict[str, object]]:
    face_ids = rows.column(columns.face_id).cast(pa.string()).to_pylist()
    subjects = rows.column(columns.subject).cast(pa.string()).to_pylist()
    faces: list[dict[str, object]] = [
        {"face_id": face_id, "subject": subject} for face_id, subject in zip(face_ids, subjects, strict=True)
    ]
    for key, values in _optional(rows, columns).items():
        for face, value in zip(faces, values, strict=True):
            if value is not None:
                face[key] = value
    return faces


def _optional(rows: Rows, columns: FaceColumns) -> dict[str, list[Any]]:
    """What a face may have beside its ids, None where it has nothing."""
    values: dict[str, list[Any]] = {}
    if columns.tags is not None:
        values["tags"] = [tags or None for tags in rows.batch.column(columns.tags).to_pylist()]
    if columns.enrolled_at is not None:
        values["enrolled_at"] = _instants(rows.batch.column(columns.enrolled_at))
    for key, column in (("metadata", columns.metadata), ("subject_metadata", columns.subject_metadata)):
        if column is not None:
            values[key] = [_metadata(text) for text in rows.batch.column(column).to_pylist()]
    return values


def _instants(column: Any) -> list[str | None]:  # noqa: ANN401 - see Rows.column
    """Timestamps of any unit as RFC 3339 in UTC; those without a zone are taken as UTC."""
    milliseconds = column.cast(pa.timestamp("ms", getattr(column.type, "tz", None)), safe=False)
    numbers = np.asarray(milliseconds.cast(pa.int64()).fill_null(0)).astype("datetime64[ms]")
    texts = np.datetime_as_string(numbers, timezone="UTC")
    return [str(text) if there else None for text, there in zip(texts, column.is_valid().to_pylist(), strict=True)]


def _metadata(text: str | None) -> object:
    """JSON as it stands, nested however deeply; what is none as a string. The gateway refuses what is no object."""
    if text is None or text == NO_METADATA:
        return None
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return orjson.Fragment(text)
