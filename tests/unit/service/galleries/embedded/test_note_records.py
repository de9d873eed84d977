"""Notes and tallies have a bound each."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.errors import GalleryLimitError
from service.galleries.embedded.database import open_database
from service.galleries.embedded.note_records import note, notes, tallied, tally

NOTES_MAX = 20


@pytest.fixture
def full(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A file with as many notes and tallies as there may be."""
    with closing(open_database(tmp_path / "file")) as database:
        with database:
            keys = [f"key-{i}" for i in range(NOTES_MAX)]
            database.executemany("INSERT INTO notes VALUES (?, 'x')", [(key,) for key in keys])
            database.executemany("INSERT INTO tallies VALUES (?, 'seen', 1)", [(key,) for key in keys])
        yield database


def test_one_key_more_is_refused_and_those_there_are_changed(full: sqlite3.Connection) -> None:
    with pytest.raises(GalleryLimitError):
        note(full, "more", "x", None, NOTES_MAX)
    with pytest.raises(GalleryLimitError):
        tally(full, "more", {"seen": 1}, NOTES_MAX)
    assert note(full, "key-7", "y", "x", NOTES_MAX)
    tally(full, "key-7", {"seen": 2, "agreed": 1}, NOTES_MAX)
    assert notes(full)["key-7"] == "y"
    assert tallied(full, "key-7") == {"agreed": 1, "seen": 3}


def test_a_forgotten_note_makes_room_for_another_and_its_counts(full: sqlite3.Connection) -> None:
    assert note(full, "key-7", None, "x", NOTES_MAX)
    assert tallied(full, "key-7") == {}
    assert note(full, "more", "x", None, NOTES_MAX)
    tally(full, "more", {"seen": 1}, NOTES_MAX)
    assert len(notes(full)) == NOTES_MAX
