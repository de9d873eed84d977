"""A directory that cannot be read is refused without what lies in it."""

import sqlite3
import time
import traceback
from contextlib import closing
from pathlib import Path

import pytest

from contract.spaces import FeatureSpace
from service.errors import GalleryUnavailableError
from service.galleries.embedded.copies import create
from service.galleries.embedded.directory import DATABASE_FILE, open_directory
from service.galleries.embedded.enrolment import upsert
from service.galleries.values import Face, Rendition
from tests.unit.service.galleries.embedded.galleries_in_memory import unit_features

SPACE = FeatureSpace(id="space-24", dim=24)


def write_gallery(folder: Path) -> None:
    """A gallery of one marked face."""
    opened = open_directory(folder, time.monotonic)
    try:
        gallery = create(opened.database, "staff", SPACE, time.monotonic)
        face = Face("marked-face", "marked-subject", ("marked-tag",))
        upsert(opened.database, gallery, [face], Rendition(SPACE, unit_features(1)), [], faces_max=10)
    finally:
        opened.release.close()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("UPDATE subjects SET subject = CAST(subject || x'ff' AS TEXT)", "OperationalError"),
        ("UPDATE faces SET tags = CAST(tags || x'ff' AS TEXT)", "OperationalError"),
        ("UPDATE faces SET tags = tags || 'marked'", "JSONDecodeError"),
        ("UPDATE spaces SET id = 'Marked Space'", "ValidationError"),
        ("UPDATE features SET feature = x'00'", "VectorError"),
        ("DROP TABLE subjects", "SQLITE_ERROR"),
    ],
)
def test_what_cannot_be_read_is_refused_without_its_text(tmp_path: Path, damage: str, reason: str) -> None:
    write_gallery(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as database, database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute(damage)
    with pytest.raises(GalleryUnavailableError) as refused:
        open_directory(tmp_path, time.monotonic)
    assert str(refused.value) == f"{DATABASE_FILE} cannot be read: {reason}"
    printed = "".join(traceback.format_exception(refused.value))
    assert "marked" not in printed.lower()
