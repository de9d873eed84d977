"""Files that appear whole or not at all, and that their owner alone can read: they hold faces."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from service.bulk.errors import JobError

PARTIAL = ".partial"
ROW_GROUP_ROWS = 16_384
OWNER_ONLY = 0o600


class PartWriter:
    """Gathers rows into row groups; at most one row group and the last table are in memory."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self.file = file
        self.rows = 0
        self._partial = file.with_name(file.name + PARTIAL)
        new_file(self._partial)
        # Features hardly ever repeat: a dictionary of them would cost memory and save nothing.
        self._writer = pq.ParquetWriter(self._partial, schema, use_dictionary=False)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0

    def write(self, table: pa.Table) -> None:
        """Append rows of the schema."""
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        self.rows += table.num_rows
        if self._waiting_rows >= ROW_GROUP_ROWS:
            self._flush()

    def publish(self) -> None:
        """Let the file appear under its name; it is on the disk before that."""
        self._flush()
        self._writer.close()
        sync(self._partial)
        self._partial.replace(self.file)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._writer.close()
        self._partial.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._waiting_rows:
            self._writer.write_table(pa.concat_tables(self._waiting), ROW_GROUP_ROWS)
        self._waiting, self._waiting_rows = [], 0


@contextmanager
def new_part(file: Path, schema: pa.Schema) -> Iterator[PartWriter]:
    """Write a file that appears when the block ends well."""
    writer = PartWriter(file, schema)
    try:
        yield writer
    except BaseException:
        writer.discard()
        raise
    writer.publish()


def write_text(file: Path, text: str) -> None:
    """Write or replace a small file, whole or not at all."""
    partial = file.with_name(file.name + PARTIAL)
    new_file(partial)
    partial.write_text(text, encoding="utf-8")
    sync(partial)
    partial.replace(file)


def new_file(file: Path) -> None:
    """An empty file in place of what was there, a link too, that its owner alone can read and write."""
    file.unlink(missing_ok=True)
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY))


def open_text(file: Path) -> TextIO:
    """A text file to append to and read, new or as it is, that its owner alone can read from now on. Raises OSError."""
    descriptor = os.open(file, os.O_CREAT | os.O_APPEND | os.O_RDWR | os.O_NOFOLLOW, OWNER_ONLY)
    os.fchmod(descriptor, OWNER_ONLY)
    return os.fdopen(descriptor, "a+", encoding="utf-8", newline="")


def sync(file: Path) -> None:
    """Return when a file's bytes are on the disk."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


@contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """A folder, made where it is missing for its owner alone, that no other process works in meanwhile.

    Raises:
        JobError: another process holds it, or it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise JobError(f"{folder}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise JobError(f"{folder}: another process works in it") from None
    try:
        yield
    finally:
        os.close(descriptor)
