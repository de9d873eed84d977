"""What became of each row of an import: a report, and how far the import has come, so that it can go on."""

import csv
import fcntl
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.csv as pa_csv
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.manifest import Sha256
from service.bulk.errors import JobError
from service.bulk.parquet import footer_of
from service.bulk.parts import new_part, open_text, write_text

COLUMNS = ("file", "row", "face_id", "fate")
KINDS: dict[str, pa.DataType] = {"file": pa.string(), "row": pa.int64(), "face_id": pa.string(), "fate": pa.string()}
JOURNAL = ".journal"
CSV, PARQUET = ".csv", ".parquet"


class State(BaseModel):
    """How far an import of these very files, by these columns, into this very gallery has come."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    gallery: str
    incarnation: str  # of the gallery: one that was made anew, or another gateway's, holds none of the rows
    fingerprint: Sha256  # of the files, with their spaces
    columns: Sha256  # of the names by which each file is read
    report: str  # name of the report; empty where there is none
    rows: int = Field(ge=0)  # acknowledged by the gateway, from the first on
    new: int = Field(ge=0)
    refused: dict[str, int]  # code -> rows
    report_bytes: int = Field(ge=0)


@dataclass(slots=True)
class Counts:
    """Rows so far."""

    rows: int = 0
    new: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def replaced(self) -> int:
        """Faces that were there before."""
        return self.rows - self.new - self.refused.total()


def read_state(file: Path) -> State | None:
    """The state an import has left; None where there is none. Raises JobError."""
    try:
        return State.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise JobError(f"{file}: is no state of an import; remove it to begin anew") from None


def is_published(report: Path, rows: int) -> bool:
    """Whether the report of so many rows, all of a complete import, has appeared.

    A report replaces its journal; a Parquet file, which is made of it, may stand beside it for a moment.
    """
    if not report.exists():
        return False
    if not _journal_of(report).exists():
        return True
    if report.suffix != PARQUET:
        return False
    schema, found = footer_of(report)
    return (tuple(schema.names), found) == (COLUMNS, rows)


def remove_progress(state: Path, report: Path | None) -> None:
    """End a complete import whose report has appeared."""
    if report is not None:
        _journal_of(report).unlink(missing_ok=True)
    state.unlink(missing_ok=True)


def _journal_of(report: Path) -> Path:
    return report.with_name(report.name + JOURNAL)


class Report:
    """Fates in the order of the rows, as CSV in `<report>.journal` until all are known."""

    def __init__(self, file: Path | None, kept_bytes: int) -> None:
        """Begin, or go on after `kept_bytes` of what is there. Raises JobError."""
        self._file = file
        if file is None:
            return
        if file.suffix not in {CSV, PARQUET}:
            raise JobError(f"{file}: a report is a .csv or a .parquet file")
        if file.exists():
            raise JobError(f"{file}: exists; name another report, or remove it")
        self._journal = _journal_of(file)
        try:
            self._text = open_text(self._journal)
        except OSError as error:
            raise JobError(f"{self._journal}: {error.strerror}") from None
        try:
            fcntl.flock(self._text, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._text.close()
            raise JobError(f"{file}: another import writes it") from None
        if os.fstat(self._text.fileno()).st_size < kept_bytes:
            self._text.close()
            raise JobError(f"{self._journal}: is shorter than the state says; remove both to begin anew")
        self._text.truncate(kept_bytes)
        self._csv = csv.writer(self._text)
        if kept_bytes == 0:
            self._csv.writerow(COLUMNS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._text.close()

    def add(self, file: Path, first_row: int, face_ids: list[str], fates: list[str]) -> None:
        """Append the fates of consecutive rows of a file."""
        if self._file is not None:
            rows = enumerate(zip(face_ids, fates, strict=True), first_row)
            self._csv.writerows((file.name, row, face_id, fate) for row, (face_id, fate) in rows)

    def sync(self) -> int:
        """Bring what was added to the disk; returns the bytes of all of it."""
        if self._file is None:
            return 0
        self._text.flush()
        os.fsync(self._text.fileno())
        return os.fstat(self._text.fileno()).st_size

    def publish(self) -> None:
        """Let the report appear, in the form its name says; `remove_progress` removes what it was made of."""
        if self._file is None:
            return
        self.sync()
        if self._file.suffix == CSV:
            self._journal.replace(self._file)
            return
        with new_part(self._file, pa.schema(KINDS)) as writer:
            for batch in pa_csv.open_csv(
                self._journal,
                parse_options=pa_csv.ParseOptions(newlines_in_values=True),
                convert_options=pa_csv.ConvertOptions(column_types=KINDS),
            ):
                writer.write(pa.Table.from_batches([batch]))


def save_state(file: Path, state: State) -> None:
    """Replace the state."""
    write_text(file, state.model_dump_json() + "\n")
