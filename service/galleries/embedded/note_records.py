"""Notes and tallies on disk: little that callers keep beside the galleries."""

import sqlite3
from collections.abc import Mapping

from service.errors import GalleryLimitError

NOTES_MAX = 1000  # keys, of notes and of tallies each
NOTE_BYTES_MAX = 65_536


def note(connection: sqlite3.Connection, key: str, value: str | None, before: str | None) -> bool:
    """Keep text, or forget it with its counts, if what is kept now is `before`. Raises GalleryLimitError."""
    if noted(connection, key) != before:
        return False
    if value is None:
        _forget(connection, key)
        return True
    if len(value.encode()) > NOTE_BYTES_MAX:
        raise GalleryLimitError(f"a note holds at most {NOTE_BYTES_MAX} bytes")
    if before is None and _count(connection, "SELECT count(*) FROM notes") >= NOTES_MAX:
        raise GalleryLimitError(f"at most {NOTES_MAX} notes are kept")
    with connection:
        connection.execute("INSERT OR REPLACE INTO notes (key, value) VALUES (?, ?)", (key, value))
    return True


def noted(connection: sqlite3.Connection, key: str) -> str | None:
    """The text under a key."""
    row = connection.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def notes(connection: sqlite3.Connection) -> dict[str, str]:
    """All keys with their texts."""
    return dict(connection.execute("SELECT key, value FROM notes ORDER BY key"))


def tally(connection: sqlite3.Connection, key: str, counts: Mapping[str, int]) -> None:
    """Add to named counts under a key. Raises GalleryLimitError."""
    if not tallied(connection, key) and _count(connection, "SELECT count(DISTINCT key) FROM tallies") >= NOTES_MAX:
        raise GalleryLimitError(f"at most {NOTES_MAX} tallies are kept")
    with connection:
        connection.executemany(
            "INSERT INTO tallies (key, name, count) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET count = count + excluded.count",
            [(key, name, count) for name, count in counts.items()],
        )


def tallied(connection: sqlite3.Connection, key: str) -> dict[str, int]:
    """The counts under a key."""
    return dict(connection.execute("SELECT name, count FROM tallies WHERE key = ? ORDER BY name", (key,)))


def _forget(connection: sqlite3.Connection, key: str) -> None:
    with connection:
        connection.execute("DELETE FROM notes WHERE key = ?", (key,))
        connection.execute("DELETE FROM tallies WHERE key = ?", (key,))


def _count(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
