"""The file's schema: a file of version 1 or 2 is taken over whole or not at all."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from contract.spaces import FeatureSpace
from contract.vectors import pack_float32
from service.galleries.embedded.database import open_database
from service.galleries.embedded.enrolment import upsert
from service.galleries.embedded.face_records import read_face, read_originals
from service.galleries.embedded.loading import load
from service.galleries.values import EVERYWHERE, Copy, Face, FaceRecord, HeldRendition, Ranking, Rendition
from tests.unit.service.galleries.embedded.galleries_in_memory import unit_features

SPACE = FeatureSpace(id="space-24", dim=24)
OTHER_SPACE = FeatureSpace(id="other-8", dim=8)
VERSION_1 = """
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
PRAGMA user_version = 1;
"""


def write_version_1(file: Path) -> None:
    staff, visitors = unit_features(30), unit_features(3, dim=8)
    rows: list[tuple[int | str | bytes | None, ...]] = [
        (5, f"face-{row}", f"subject-{row // 2}", None, None, pack_float32(staff[row])) for row in range(30)
    ]
    rows[7] = (5, "face-7", "subject-3", "source", "source--space@1", pack_float32(staff[7]))
    rows += [(2, f"face-{row}", "subject-1", None, None, pack_float32(visitors[row])) for row in range(3)]
    with closing(sqlite3.connect(file)) as database, database:
        database.executescript(VERSION_1)
        database.execute("INSERT INTO galleries VALUES (5, 'staff', 'space-24', 24), (2, 'visitors', 'other-8', 8)")
        database.execute("INSERT INTO galleries VALUES (9, 'empty', 'space-24', 24)")
        database.executemany("INSERT INTO faces VALUES (?, ?, ?, ?, ?, ?)", rows)
        database.execute("DELETE FROM faces WHERE face_id = 'face-4' AND gallery = 5")


def test_a_file_of_version_1_is_taken_over(tmp_path: Path) -> None:
    write_version_1(tmp_path / "file")
    for _ in range(2):  # the second time it is of the newest version
        with closing(open_database(tmp_path / "file")) as database:
            galleries = load(database, time.monotonic)
            assert sorted(galleries) == ["empty", "staff", "visitors"]
            staff = galleries["staff"]
            info = staff.info()
            assert (info.faces, info.subjects, info.copies) == (
                29,
                15,
                (Copy(SPACE, 29, translators={"source--space@1": 1}),),
            )
            assert galleries["visitors"].info().copies == (Copy(OTHER_SPACE, 3),)
            probe = unit_features(30)[7:8]
            [[match]] = staff.search(SPACE, probe, 1, Ranking.FACES, EVERYWHERE).matches
            assert (match.face_id, match.subject) == ("face-7", "subject-3")
            held = (HeldRendition(SPACE.id, "source--space@1", None),)
            assert read_face(database, staff.key, "face-7") == FaceRecord(Face("face-7", "subject-3"), SPACE.id, held)
            originals = read_originals(database, staff.key, None, 100)
            features = {original.face.face_id: original.feature for original in originals}
            assert len(features) == 29
            np.testing.assert_array_equal(features["face-7"], probe[0])
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            assert not {name for name in tables if name.endswith("_1")}


def test_galleries_of_version_2_are_told_apart_from_then_on(tmp_path: Path) -> None:
    write_version_1(tmp_path / "file")
    with closing(open_database(tmp_path / "file")) as database:
        before = {name: gallery.info() for name, gallery in load(database, time.monotonic).items()}
    with closing(sqlite3.connect(tmp_path / "file")) as database:
        database.executescript("ALTER TABLE galleries DROP COLUMN incarnation; PRAGMA user_version = 2;")
    incarnations = []
    for _ in range(2):  # the second time it is of the newest version
        with closing(open_database(tmp_path / "file")) as database:
            galleries = load(database, time.monotonic)
            assert {name: gallery.info() for name, gallery in galleries.items()} == before
            incarnations.append({name: gallery.incarnation for name, gallery in galleries.items()})
            assert len({*incarnations[-1].values(), ""}) == len(galleries) + 1
    assert incarnations[0] == incarnations[1]


def test_a_take_over_that_fails_leaves_version_1_as_it_was(tmp_path: Path) -> None:
    write_version_1(tmp_path / "file")
    with closing(sqlite3.connect(tmp_path / "file")) as database, database:
        database.execute("CREATE TABLE notes (in_the_way TEXT)")
    with pytest.raises(sqlite3.Error, match="notes"):
        open_database(tmp_path / "file")
    with closing(sqlite3.connect(tmp_path / "file")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM faces").fetchone() == (32,)


def test_what_was_taken_over_can_be_enrolled_anew(tmp_path: Path) -> None:
    write_version_1(tmp_path / "file")
    with closing(open_database(tmp_path / "file")) as database:
        staff = load(database, time.monotonic)["staff"]
        faces = [Face("face-4", "subject-2"), Face("face-7", "subject-3")]
        new = upsert(database, staff, faces, Rendition(SPACE, unit_features(2, seed=1)), [], faces_max=30)
        assert new == [True, False]
        assert read_face(database, staff.key, "face-7").held == (HeldRendition(SPACE.id, None, None),)
        before = staff.info()
        assert load(database, time.monotonic)["staff"].info() == before
