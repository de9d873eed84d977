"""Galleries on disk: one SQLite file, one transaction a write, on the disk before a write returns."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from contract.spaces import FeatureSpace
from contract.vectors import Features, pack_float32, unpack_float32
from service.galleries.base import Face, FaceBatch

SCHEMA_VERSION = 1
LOAD_ROWS = 4096

# `secure_delete`: a deleted or replaced feature is biometric data and is overwritten, not just unlinked.
# `locking_mode`, before the first access: a reader in another process would keep what is deleted in the log.
PRAGMAS = (
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA foreign_keys = ON",
)
SCHEMA = f"""
BEGIN;
CREATE TABLE galleries (
    key INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    space TEXT NOT NULL,
    dim INTEGER NOT NULL
) STRICT;
CREATE TABLE faces (
    gallery INTEGER NOT NULL REFERENCES galleries (key) ON DELETE CASCADE,
    face_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    derived_from TEXT,
    translator TEXT,
    feature BLOB NOT NULL, -- little-endian float32
    UNIQUE (gallery, face_id)
) STRICT;
CREATE INDEX faces_by_subject ON faces (gallery, subject);
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""


class FaceDatabase:
    """The record of what was acknowledged. For one thread at a time; every method may raise sqlite3.Error."""

    def __init__(self, file: Path) -> None:
        file.touch(mode=0o600)
        self._connection = sqlite3.connect(file, isolation_level="IMMEDIATE", check_same_thread=False)
        try:
            self._prepare()
        except sqlite3.Error:
            self._connection.close()
            raise

    def galleries(self) -> Iterator[tuple[int, str, FeatureSpace]]:
        """Key, name and space of every gallery."""
        for key, name, space, dim in self._connection.execute("SELECT key, name, space, dim FROM galleries"):
            yield key, name, FeatureSpace(id=space, dim=dim)

    def faces(self, key: int, dim: int) -> Iterator[FaceBatch]:
        """All faces of a gallery in bounded batches, in the order of their enrolment."""
        cursor = self._connection.execute(
            "SELECT face_id, subject, derived_from, translator, feature FROM faces WHERE gallery = ? ORDER BY rowid",
            (key,),
        )
        while rows := cursor.fetchmany(LOAD_ROWS):
            yield [Face(*row[:4]) for row in rows], unpack_float32(b"".join(row[4] for row in rows), dim)

    def create(self, name: str, space: FeatureSpace) -> int:
        """Add a gallery; returns its key."""
        with self._connection:
            cursor = self._connection.execute(
                "INSERT INTO galleries (name, space, dim) VALUES (?, ?, ?)", (name, space.id, space.dim)
            )
        assert cursor.lastrowid is not None  # noqa: S101 - for the type checker; an INSERT sets it
        return cursor.lastrowid

    def drop(self, key: int) -> None:
        """Delete a gallery and its faces."""
        with self._connection:
            self._connection.execute("DELETE FROM galleries WHERE key = ?", (key,))

    def upsert(self, key: int, faces: Sequence[Face], features: Features) -> None:
        """Add or replace faces [N] with features [N, d], all or none."""
        rows = (
            (key, face.face_id, face.subject, face.derived_from, face.translator, pack_float32(feature))
            for face, feature in zip(faces, features, strict=True)
        )
        with self._connection:
            self._connection.executemany(
                "INSERT INTO faces (gallery, face_id, subject, derived_from, translator, feature)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (gallery, face_id) DO UPDATE SET subject = excluded.subject,"
                " derived_from = excluded.derived_from, translator = excluded.translator, feature = excluded.feature",
                rows,
            )

    def delete_face(self, key: int, face_id: str) -> None:
        """Delete one face."""
        with self._connection:
            self._connection.execute("DELETE FROM faces WHERE gallery = ? AND face_id = ?", (key, face_id))

    def delete_subject(self, key: int, subject: str) -> list[str]:
        """Delete all faces of a subject; returns their ids."""
        with self._connection:
            deleted = self._connection.execute(
                "DELETE FROM faces WHERE gallery = ? AND subject = ? RETURNING face_id", (key, subject)
            ).fetchall()
        return [face_id for (face_id,) in deleted]

    def erase_deleted(self) -> None:
        """Empty the log, which holds pages as they were: what was deleted or replaced is then gone from the disk."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Write everything into the one file and release it."""
        self._connection.close()

    def _prepare(self) -> None:
        for pragma in PRAGMAS:
            self._connection.execute(pragma)
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._connection.executescript(SCHEMA)
        elif version != SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"schema version {version} where {SCHEMA_VERSION} is expected")
        self.erase_deleted()  # a crash may have come before it
