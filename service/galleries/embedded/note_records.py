"""Notes and tallies on disk: little that callers keep beside the galleries."""

import sqlite3
from collections.abc import Mapping

from service.errors import GalleryLimitError
from service.galleries.notes import check_length
from service.galleries.refusals import NOTES_FULL


def note(connection: sqlite3.Connection, key: str, value: str | None, before: str | None, notes_max: int) -> bool:
    """Keep text, or forget it with its counts, if what is kept now is `before`. Raises GalleryLimitError."""
    if noted(connection, key) != before:
        return False
    if value is None:
        _forget(connection, key)
        return True
    check_length(value)
    if before is None and _count(connection, "SELECT count(*) FROM notes") >= notes_max:
        raise GalleryLimitError(NOTES_FULL)
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


def tally(connection: sqlite3.Connection, key: str, counts: Mapping[str, int], tallies_max: int) -> None:
    """Add to named counts under a key. Raises GalleryLimitError."""
    if not tallied(connection, key) and _count(connection, "SELECT count(DISTINCT key) FROM tallies") >= tallies_max:
        raise GalleryLimitError(NOTES_FULL)
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
