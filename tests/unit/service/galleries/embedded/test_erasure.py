"""A dropped copy or gallery is gone at once; it is erased step by step, whatever happens between two steps."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from contract.spaces import FeatureSpace
from service.galleries.embedded import copies, copy_records
from service.galleries.embedded.database import open_database
from service.galleries.embedded.enrolment import upsert
from service.galleries.embedded.erasure import STEP_SLOTS, erase_copy, erase_gallery, take_step
from service.galleries.embedded.face_records import read_originals
from service.galleries.embedded.loading import load
from service.galleries.embedded.memory import MemoryGallery
from service.galleries.values import Copy, Face, Rendition
from tests.unit.service.galleries.embedded.galleries_in_memory import unit_features

OLD, NEW = FeatureSpace(id="old-8", dim=8), FeatureSpace(id="new-8", dim=8)
ROWS = STEP_SLOTS + 100
NATIVE = 50  # of which the original is in the space of the copy that is dropped
LEASE_MS = 1000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "file")) as opened:
        yield opened


@pytest.fixture
def gallery(database: sqlite3.Connection) -> MemoryGallery:
    """A gallery that was moved from OLD to NEW."""
    gallery, features = copies.create(database, "staff", NEW, time.monotonic), unit_features(ROWS, dim=8)
    copies.add(database, gallery, OLD, time.monotonic)
    faces = [Face(f"face-{row:05d}", "somebody") for row in range(ROWS)]
    derived = Rendition(OLD, -features[NATIVE:], "translator@1")
    upsert(database, gallery, faces[NATIVE:], Rendition(NEW, features[NATIVE:]), [derived], ROWS)
    derived = Rendition(NEW, -features[:NATIVE], "translator@1")
    upsert(database, gallery, faces[:NATIVE], Rendition(OLD, features[:NATIVE]), [derived], ROWS)
    assert {copy.space: copy.faces for copy in gallery.info().copies} == {NEW: ROWS, OLD: ROWS}
    return gallery


@pytest.fixture
def dropped(database: sqlite3.Connection, gallery: MemoryGallery) -> tuple[int, int]:
    """Keys of the gallery and its old copy, which is dropped and not yet erased."""
    keys = copies.drop_copy(database, gallery, OLD, None)
    assert keys is not None
    return keys


def features_in(database: sqlite3.Connection, space: FeatureSpace) -> int:
    query = "SELECT count(*) FROM features JOIN spaces ON key = space WHERE id = ?"
    return int(database.execute(query, (space.id,)).fetchone()[0])


def rows_of(database: sqlite3.Connection, table: str) -> int:
    return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


def test_a_dropped_copy_is_erased_but_for_the_originals(
    database: sqlite3.Connection, gallery: MemoryGallery, dropped: tuple[int, int]
) -> None:
    assert gallery.info().copies == (Copy(NEW, ROWS, translators={"translator@1": NATIVE}),)
    steps = erase_copy(database, *dropped)
    assert take_step(steps)
    assert features_in(database, OLD) == 100
    assert take_step(steps)
    assert features_in(database, OLD) == NATIVE
    assert not take_step(steps)
    assert rows_of(database, "copies") == 1
    assert len(read_originals(database, gallery.key, None, ROWS)) == ROWS


@pytest.mark.parametrize("steps_before", [0, 1, 2])
def test_what_a_crash_left_of_a_dropped_copy_is_erased_at_the_next_opening(
    database: sqlite3.Connection, gallery: MemoryGallery, dropped: tuple[int, int], steps_before: int
) -> None:
    steps = erase_copy(database, *dropped)
    assert all(take_step(steps) for _ in range(steps_before))
    again = load(database, time.monotonic)["staff"]
    assert again.info() == gallery.info()
    assert features_in(database, OLD) == NATIVE
    assert rows_of(database, "copies") == 1


def test_a_dropped_gallery_is_erased_in_bounded_steps_and_touches_no_other_of_its_name(
    database: sqlite3.Connection, gallery: MemoryGallery
) -> None:
    copy_records.drop_gallery(database, gallery.key)
    assert features_in(database, OLD) == ROWS, "dropped in one step, erased afterwards"
    steps = erase_gallery(database, gallery.key)
    assert take_step(steps)
    assert (rows_of(database, "faces"), rows_of(database, "features")) == (100, 200)
    anew = copies.create(database, "staff", OLD, time.monotonic)
    upsert(database, anew, [Face("face-00001", "somebody")], Rendition(OLD, unit_features(1, dim=8)), [], ROWS)
    while take_step(steps):
        pass
    left = [rows_of(database, table) for table in ("galleries", "copies", "subjects", "faces", "features")]
    assert left == [1] * 5
    assert load(database, time.monotonic)["staff"].info() == anew.info()


@pytest.mark.parametrize("steps_before", [0, 1, 3])
def test_what_a_crash_left_of_a_dropped_gallery_is_erased_at_the_next_opening(
    database: sqlite3.Connection, gallery: MemoryGallery, steps_before: int
) -> None:
    copy_records.drop_gallery(database, gallery.key)
    steps = erase_gallery(database, gallery.key)
    assert all(take_step(steps) for _ in range(steps_before))
    assert load(database, time.monotonic) == {}
    for table in ("galleries", "copies", "subjects", "faces", "features"):
        assert rows_of(database, table) == 0


def test_a_copy_begun_anew_in_the_same_space_shares_nothing_with_the_dropped_one(
    database: sqlite3.Connection, gallery: MemoryGallery, dropped: tuple[int, int]
) -> None:
    copies.add(database, gallery, OLD, time.monotonic)
    claim = copies.claim(database, gallery, OLD, 1000, LEASE_MS)
    assert claim is not None
    assert len(claim.originals) == 1000, "what the dropped copy held is missing in the new one"
    features = unit_features(1000, dim=8, seed=1)
    assert copies.fill(database, gallery, claim, [Rendition(OLD, features, "translator@2")]) == 1000
    upsert(database, gallery, [Face("face-08000", "other")], Rendition(NEW, features[:1]), [], ROWS)
    steps = erase_copy(database, *dropped)
    while take_step(steps):
        pass
    assert gallery.info().copies == (
        Copy(NEW, ROWS, translators={"translator@1": NATIVE}),
        Copy(OLD, 1000, translators={"translator@2": 950}),
    )
    assert load(database, time.monotonic)["staff"].info() == gallery.info()
    assert features_in(database, OLD) == 1000, "the originals are among the first that were filled"
    assert len(read_originals(database, gallery.key, None, ROWS)) == ROWS
