"""What only the embedded store promises: one process, one file, nothing acknowledged lost."""

import asyncio
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from service.errors import GalleryUnavailableError
from service.galleries.embedded import face_records
from service.galleries.embedded.copies import create
from service.galleries.embedded.database import open_database
from service.galleries.embedded.directory import DATABASE_FILE
from service.galleries.embedded.enrolment import upsert
from service.galleries.local import LocalGalleries
from service.galleries.values import Face
from tests.integration.gallery_stores import (
    OTHER_SPACE,
    SPACE,
    LocalStores,
    all_originals,
    faces_of,
    native,
    on_disk,
    unit_features,
)
from tests.integration.gallery_writer import BATCH_FACES, GALLERY, faces_of_batch

ACKNOWLEDGED_MIN = 10
pytestmark = pytest.mark.anyio


async def test_a_killed_writer_loses_nothing_it_acknowledged_and_leaves_no_half_batch(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.integration.gallery_writer", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:  # noqa: ASYNC220 - nothing else runs
        assert writer.stdout is not None
        for _ in range(ACKNOWLEDGED_MIN):
            assert writer.stdout.readline(), "the writer ended by itself"
        writer.kill()
        acknowledged = ACKNOWLEDGED_MIN + len(writer.stdout.read().split())
    async with LocalStores(tmp_path).open() as store:
        there = await all_originals(store, GALLERY)
        for batch in range(acknowledged):
            faces = faces_of_batch(batch)
            if batch % 2:
                assert not any(face.face_id in there for face in faces), "a deleted subject came back"
            else:
                assert [there[face.face_id] for face in faces] == faces
                probe = unit_features(BATCH_FACES, seed=batch)[7:8]
                [[best]] = (await store.search(GALLERY, SPACE, probe, 1)).matches
                [[in_copy]] = (await store.search(GALLERY, OTHER_SPACE, -probe, 1)).matches
                assert best.face_id == in_copy.face_id == faces[7].face_id
        info = await store.info(GALLERY)
    whole = Counter(face.subject for face in there.values())
    assert (info.faces, info.subjects) == (len(there), len(whole))
    assert [copy.faces for copy in info.copies] == [len(there)] * 2
    assert set(whole.values()) == {BATCH_FACES}


async def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    async with LocalStores(tmp_path).open() as store:
        with pytest.raises(GalleryUnavailableError, match="open in another process"):
            LocalGalleries.open(tmp_path, faces_max=1, galleries_max=1)
        assert (await store.list()).galleries == []
    async with LocalStores(tmp_path).open() as store:
        assert await store.ready()


@pytest.mark.parametrize("content", [b"no database at all" * 1000, b"SQLite format 3\0" + bytes(4080)])
def test_a_file_that_is_no_gallery_is_refused_and_not_overwritten(tmp_path: Path, content: bytes) -> None:
    (tmp_path / DATABASE_FILE).write_bytes(content)
    for _ in range(2):  # the refusal leaves the directory free
        with pytest.raises(GalleryUnavailableError, match=r"galleries\.sqlite cannot be read"):
            LocalGalleries.open(tmp_path, faces_max=1, galleries_max=1)
    assert (tmp_path / DATABASE_FILE).read_bytes() == content


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as later:
        later.execute("PRAGMA user_version = 99")
    with pytest.raises(GalleryUnavailableError, match="schema version 99 where 3 is expected"):
        LocalGalleries.open(tmp_path, faces_max=1, galleries_max=1)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GalleryUnavailableError, match="cannot be used"):
        LocalGalleries.open(tmp_path / "file" / "galleries", faces_max=1, galleries_max=1)


async def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    async with LocalStores(tmp_path / "galleries").open() as store:
        await store.create("staff", SPACE)
        files = [tmp_path / "galleries", *(tmp_path / "galleries").glob("galleries.sqlite*")]
        assert len(files) == 3  # the directory, the database, its log
        assert [file.stat().st_mode & 0o077 for file in files] == [0] * 3


async def test_a_full_disk_refuses_the_write_and_keeps_what_was_there(tmp_path: Path) -> None:
    _, hard_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with LocalStores(tmp_path).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces_of(10), native(unit_features(10)))
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, hard_limit))
            with pytest.raises(GalleryUnavailableError, match="could not write"):
                await store.upsert("staff", faces_of(10_000), native(unit_features(10_000)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard_limit, hard_limit))
        assert (await store.info("staff")).faces == 10
        assert await store.upsert("staff", [Face("later", "somebody")], native(unit_features(1))) == [True]
    async with LocalStores(tmp_path).open() as store:
        assert (await store.info("staff")).faces == 11


async def test_a_deleted_feature_is_gone_from_the_disk(tmp_path: Path) -> None:
    faces, features = faces_of(20), unit_features(20)
    async with LocalStores(tmp_path).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(features))
        assert all(on_disk(tmp_path, feature) for feature in features)
        await store.delete_subject("staff", faces[7].subject)
        assert not on_disk(tmp_path, features[7])
        await store.delete_face("staff", faces[8].face_id)
        assert not on_disk(tmp_path, features[8])
        await store.drop("staff")
        assert not any(on_disk(tmp_path, feature) for feature in features)


async def test_a_replaced_feature_is_gone_from_the_disk(tmp_path: Path) -> None:
    faces, before, after = faces_of(20), unit_features(20, seed=1), unit_features(20, seed=2)
    async with LocalStores(tmp_path).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(before))
        await store.upsert("staff", [*faces[7:9], Face("new", "somebody")], native(after[7:10]))
        assert [on_disk(tmp_path, feature) for feature in before] == [row not in {7, 8} for row in range(20)]
        assert all(on_disk(tmp_path, feature) for feature in after[7:10])
        twice = [Face("twice", "somebody"), Face("twice", "somebody")]  # in one batch the last holds
        await store.upsert("staff", twice, native(after[:2]))
        assert [on_disk(tmp_path, feature) for feature in after[:2]] == [False, True]


async def test_nobody_else_reads_the_file_meanwhile_and_so_keeps_a_deleted_feature_in_the_log(tmp_path: Path) -> None:
    faces, features = faces_of(2), unit_features(2)
    async with LocalStores(tmp_path).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(features))
        with closing(sqlite3.connect(tmp_path / DATABASE_FILE, timeout=0, isolation_level=None)) as reader:
            with suppress(sqlite3.OperationalError):
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM faces").fetchall()
            await store.delete_face("staff", faces[0].face_id)
            assert not on_disk(tmp_path, features[0])
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                reader.execute("SELECT count(*) FROM faces")


async def test_enrolling_new_faces_does_not_wait_for_the_log_to_be_emptied(tmp_path: Path) -> None:
    log = tmp_path / f"{DATABASE_FILE}-wal"
    async with LocalStores(tmp_path).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces_of(20), native(unit_features(20)))
        before = log.stat().st_size
        await store.upsert("staff", [Face("new", "somebody")], native(unit_features(1, seed=1)))
        assert log.stat().st_size > before > 0
        await store.upsert("staff", [Face("new", "somebody")], native(unit_features(1, seed=2)))
        assert log.stat().st_size == 0


async def test_a_crash_between_deleting_and_erasing_is_made_good_at_the_next_opening(tmp_path: Path) -> None:
    [face], feature = faces_of(1), unit_features(1)
    (tmp_path / "crashed").mkdir()
    with closing(open_database(tmp_path / DATABASE_FILE)) as database:
        gallery = create(database, "staff", SPACE, time.monotonic)
        upsert(database, gallery, [face], native(feature), [], faces_max=1)
        face_records.delete_face(database, gallery.key, face.face_id)
        for name in (DATABASE_FILE, f"{DATABASE_FILE}-wal"):
            shutil.copy(tmp_path / name, tmp_path / "crashed")
    assert on_disk(tmp_path / "crashed", feature)
    async with LocalStores(tmp_path / "crashed").open():
        assert not on_disk(tmp_path / "crashed", feature)


async def test_a_search_sees_each_face_before_or_after_its_replacement_never_between(tmp_path: Path) -> None:
    faces = [Face(f"face-{i:04d}", "somebody") for i in range(2000)]
    before = np.tile(unit_features(1, seed=1), (2000, 1))
    after = np.tile(unit_features(1, seed=2), (2000, 1))
    probe = before[:1]
    other = float(after[0].astype(np.float64) @ probe[0].astype(np.float64))
    async with LocalStores(tmp_path).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(before))

        async def replace_again_and_again() -> None:
            for features in [after, before] * 5:
                await store.upsert("staff", faces, native(features))

        writing = asyncio.create_task(replace_again_and_again())
        searches = 0
        while not writing.done():
            [matches] = (await store.search("staff", SPACE, probe, 2000)).matches
            similarities = {round(match.similarity, 6) for match in matches}
            assert len(matches) == 2000
            assert similarities in ({1.0}, {round(other, 6)})
            searches += 1
        await writing
    assert searches > 1


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    async with LocalStores(tmp_path).open() as store:
        await store.create("staff", SPACE)
        await store.close()
        assert not await store.ready()
        with pytest.raises(GalleryUnavailableError, match="closed"):
            await store.search("staff", SPACE, unit_features(1), 1)
