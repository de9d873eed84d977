"""Galleries on disk: one SQLite file, one transaction a write, on the disk before a write returns."""

import sqlite3
from importlib.resources import files
from pathlib import Path

from contract.spaces import FeatureSpace
from service.errors import GalleryUnavailableError

SCHEMA_VERSION = 3
SLOT_BITS = 32  # number = gallery's key * 2^32 + slot
SLOTS_MAX = 1 << SLOT_BITS

# `secure_delete`: a deleted or replaced feature is biometric data and is overwritten, not just unlinked.
# `locking_mode`, before the first access: a reader in another process would keep what is deleted in the log.
PRAGMAS = (
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA foreign_keys = ON",
)
SCHEMA_STEPS = {
    0: ("schema.sql",),
    1: ("set_aside_version_1.sql", "schema.sql", "take_over_version_1.sql"),
    2: ("take_over_version_2.sql",),
    SCHEMA_VERSION: (),
}


def open_database(file: Path) -> sqlite3.Connection:
    """Open or create the file, in the newest schema. For one thread at a time.

    Raises:
        GalleryUnavailableError: the file is of a later schema. sqlite3.Error.
    """
    file.touch(mode=0o600)
    connection = sqlite3.connect(file, isolation_level="IMMEDIATE", check_same_thread=False)
    try:
        for pragma in PRAGMAS:
            connection.execute(pragma)
        _bring_up_to_date(connection)
        erase_deleted(connection)  # a crash may have come before it
    except (sqlite3.Error, GalleryUnavailableError):
        connection.close()
        raise
    return connection


def erase_deleted(connection: sqlite3.Connection) -> None:
    """Empty the log, which holds pages as they were: what was deleted or replaced is then gone from the disk."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def number_of(gallery_key: int, slot: int) -> int:
    """The number on disk of a face or a subject that has this slot in memory."""
    return (gallery_key << SLOT_BITS) + slot


def key_of_space(connection: sqlite3.Connection, space: FeatureSpace) -> int:
    """The key of a feature space, added if it is new."""
    connection.execute("INSERT OR IGNORE INTO spaces (id, dim) VALUES (?, ?)", (space.id, space.dim))
    key: int
    (key,) = connection.execute("SELECT key FROM spaces WHERE id = ? AND dim = ?", (space.id, space.dim)).fetchone()
    return key


def spaces_by_key(connection: sqlite3.Connection) -> dict[int, FeatureSpace]:
    """All feature spaces that anything was ever kept in."""
    return {key: FeatureSpace(id=id_, dim=dim) for key, id_, dim in connection.execute("SELECT * FROM spaces")}


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in SCHEMA_STEPS:
        raise GalleryUnavailableError(f"the galleries have schema version {version} where {SCHEMA_VERSION} is expected")
    if SCHEMA_STEPS[version]:
        steps = "".join(files(__package__).joinpath(step).read_text("utf-8") for step in SCHEMA_STEPS[version])
        connection.executescript(f"BEGIN IMMEDIATE;\n{steps}PRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;")
