"""A dropped copy is gone at once; its features are erased piece by piece, whatever happens between two pieces."""

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
from service.galleries.embedded.face_records import read_originals
from service.galleries.embedded.loading import load
from service.galleries.embedded.memory import MemoryGallery
from service.galleries.values import Copy, Face, Rendition
from tests.unit.service.galleries.embedded.galleries_in_memory import unit_features

OLD, NEW = FeatureSpace(id="old-8", dim=8), FeatureSpace(id="new-8", dim=8)
ROWS = copy_records.ERASED_SLOTS + 100
NATIVE = 50  # of which the original is in the space of the copy that is dropped
LEASE_MS = 1000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "file")) as opened:
        yield opened


@pytest.fixture
def gallery(database: sqlite3.Connection) -> MemoryGallery:
    """A gallery that was moved from OLD to NEW, its old copy dropped and not yet erased."""
    gallery, features = copies.create(database, "staff", NEW, time.monotonic), unit_features(ROWS, dim=8)
    copies.add(database, gallery, OLD, time.monotonic)
    faces = [Face(f"face-{row:05d}", "somebody") for row in range(ROWS)]
    derived = Rendition(OLD, -features[NATIVE:], "translator@1")
    upsert(database, gallery, faces[NATIVE:], Rendition(NEW, features[NATIVE:]), [derived], ROWS)
    derived = Rendition(NEW, -features[:NATIVE], "translator@1")
    upsert(database, gallery, faces[:NATIVE], Rendition(OLD, features[:NATIVE]), [derived], ROWS)
    assert {copy.space: copy.faces for copy in gallery.info().copies} == {NEW: ROWS, OLD: ROWS}
    copies.drop_copy(database, gallery, OLD, None)
    return gallery


def features_in(database: sqlite3.Connection, space: FeatureSpace) -> int:
    query = "SELECT count(*) FROM features JOIN spaces ON key = space WHERE id = ?"
    return int(database.execute(query, (space.id,)).fetchone()[0])


def test_a_dropped_copy_is_erased_but_for_the_originals(database: sqlite3.Connection, gallery: MemoryGallery) -> None:
    assert gallery.info().copies == (Copy(NEW, ROWS, translators={"translator@1": NATIVE}),)
    [copy] = copy_records.dropped_copies(database, gallery.key)
    following = copy_records.erase_copy(database, gallery.key, copy, 0)
    assert following == copy_records.ERASED_SLOTS
    assert features_in(database, OLD) == 100
    assert copy_records.erase_copy(database, gallery.key, copy, following) is None
    assert features_in(database, OLD) == NATIVE
    assert copy_records.dropped_copies(database, gallery.key) == []
    assert len(read_originals(database, gallery.key, None, ROWS)) == ROWS


def test_what_a_crash_left_of_a_dropped_copy_is_erased_at_the_next_opening(
    database: sqlite3.Connection, gallery: MemoryGallery
) -> None:
    again = load(database, time.monotonic)["staff"]
    assert again.info() == gallery.info()
    assert features_in(database, OLD) == NATIVE
    assert copy_records.dropped_copies(database, gallery.key) == []


def test_a_copy_begun_anew_in_the_same_space_shares_nothing_with_the_dropped_one(
    database: sqlite3.Connection, gallery: MemoryGallery
) -> None:
    [dropped] = copy_records.dropped_copies(database, gallery.key)
    copies.add(database, gallery, OLD, time.monotonic)
    claim = copies.claim(database, gallery, OLD, 1000, LEASE_MS)
    assert claim is not None
    assert len(claim.originals) == 1000, "what the dropped copy held is missing in the new one"
    features = unit_features(1000, dim=8, seed=1)
    assert copies.fill(database, gallery, claim, [Rendition(OLD, features, "translator@2")]) == 1000
    upsert(database, gallery, [Face("face-08000", "other")], Rendition(NEW, features[:1]), [], ROWS)
    slot: int | None = 0
    while slot is not None:
        slot = copy_records.erase_copy(database, gallery.key, dropped, slot)
    assert gallery.info().copies == (
        Copy(NEW, ROWS, translators={"translator@1": NATIVE}),
        Copy(OLD, 1000, translators={"translator@2": 950}),
    )
    assert load(database, time.monotonic)["staff"].info() == gallery.info()
    assert features_in(database, OLD) == 1000, "the originals are among the first that were filled"
    assert len(read_originals(database, gallery.key, None, ROWS)) == ROWS
