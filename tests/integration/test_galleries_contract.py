"""What every gallery store promises of galleries, faces and subjects, asked of each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contract.spaces import FeatureSpace
from deploy.redis.start import RedisServer
from service.errors import (
    CopiesChangedError,
    GalleryLimitError,
    GallerySpaceMismatchError,
    UnknownFaceError,
    UnknownGalleryError,
    UnknownSubjectError,
)
from service.galleries.base import Copy, Face, GalleryInfo, HeldRendition, Ranking, SubjectRecord, Where
from tests.integration.gallery_stores import (
    FACES_MAX,
    OTHER_SPACE,
    SPACE,
    LocalStores,
    RedisStores,
    Stores,
    all_originals,
    faces_of,
    native,
    translated,
    unit_features,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["local", "redis"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """An empty store that can be opened again and again."""
    if request.param == "local":
        yield LocalStores(tmp_path / "galleries")
        return
    with RedisServer() as server:
        yield RedisStores(server)


def info_of(name: str, faces: int, subjects: int, space: FeatureSpace = SPACE) -> GalleryInfo:
    return GalleryInfo(name, space, faces, subjects, (Copy(space, faces),))


async def test_a_gallery_is_created_once_described_listed_and_dropped(stores: Stores) -> None:
    async with stores.open() as store:
        assert await store.list() == []
        assert await store.create("visitors", SPACE) is True
        assert await store.create("visitors", SPACE) is False
        assert await store.create("staff", SPACE) is True
        assert await store.info("visitors") == info_of("visitors", 0, 0)
        assert [info.name for info in await store.list()] == ["staff", "visitors"]
        await store.drop("visitors")
        assert [info.name for info in await store.list()] == ["staff"]
        with pytest.raises(UnknownGalleryError):
            await store.drop("visitors")


async def test_a_gallery_takes_another_space_only_after_it_was_dropped(stores: Stores) -> None:
    space_8 = FeatureSpace(id="other-8", dim=8)
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces_of(5), native(unit_features(5)))
        for other in (OTHER_SPACE, FeatureSpace(id=SPACE.id, dim=8)):
            with pytest.raises(GallerySpaceMismatchError):
                await store.create("staff", other)
            with pytest.raises(GallerySpaceMismatchError):
                await store.search("staff", other, unit_features(2, dim=other.dim), 1)
            with pytest.raises(CopiesChangedError):
                await store.upsert("staff", faces_of(2), native(unit_features(2, dim=other.dim), other))
        await store.drop("staff")
        assert await store.create("staff", space_8) is True
        assert (await store.search("staff", space_8, unit_features(1, dim=8), 5)).matches == [[]]
        assert (await store.info("staff")) == info_of("staff", 0, 0, space_8)


async def test_everything_about_a_face_is_kept_and_replaced(stores: Stores) -> None:
    features = unit_features(3)
    plain = Face("a:1", "subject@x")
    full = Face("b+2", "subject=y", ("entrance", "north"), 1_700_000_000_123, '{"camera":7,"note":"ä \\"quoted\\""}')
    async with stores.open() as store:
        await store.create("staff", SPACE)
        assert await store.upsert("staff", [plain, full], native(features[:2])) == 2
        for face in (plain, full):
            record = await store.get("staff", face.face_id)
            assert (record.face, record.origin) == (face, SPACE.id)
            assert record.held == (HeldRendition(SPACE.id, None, None),)
        assert await store.info("staff") == info_of("staff", 2, 2)
        moved = Face("b+2", "subject@x", ("south",), 5)
        assert await store.upsert("staff", [moved, Face("c", "subject@x")], native(features[1:])) == 1
        assert (await store.get("staff", "b+2")).face == moved
        assert await store.info("staff") == info_of("staff", 3, 1)
        [[best]] = (await store.search("staff", SPACE, features[1:2], 1)).matches
        assert (best.face_id, best.subject) == ("b+2", "subject@x")
        assert best.similarity == pytest.approx(1.0, abs=stores.tolerance)


async def test_a_translated_face_is_searched_as_translated_and_keeps_its_original(stores: Stores) -> None:
    faces, before, after = faces_of(3), unit_features(3, seed=1), unit_features(3, seed=2)
    async with stores.open() as store:
        await store.create("staff", SPACE)
        assert await store.upsert("staff", faces, native(before, OTHER_SPACE), [translated(after)]) == 3
        record = await store.get("staff", faces[2].face_id)
        assert (record.face, record.origin) == (faces[2], OTHER_SPACE.id)
        assert record.held == (HeldRendition(SPACE.id, "translator@1", 0.5),)
        [[best]] = (await store.search("staff", SPACE, after[2:], 1)).matches
        assert best.face_id == faces[2].face_id
        originals = {original.face.face_id: original for original in await store.originals("staff", None, 10)}
        assert len(originals) == 3
        for row, face in enumerate(faces):
            assert originals[face.face_id].space == OTHER_SPACE
            np.testing.assert_allclose(originals[face.face_id].feature, before[row], atol=stores.tolerance)
        assert await store.origins("staff") == {OTHER_SPACE.id: 3}
        await store.upsert("staff", faces[:1], native(before[:1]))  # enrolled anew, natively
        assert (await store.get("staff", faces[0].face_id)).held == (HeldRendition(SPACE.id, None, None),)
        assert await store.origins("staff") == {OTHER_SPACE.id: 2, SPACE.id: 1}


async def test_nothing_is_enrolled_that_the_copies_do_not_match(stores: Stores) -> None:
    features = unit_features(2)
    async with stores.open() as store:
        await store.create("staff", SPACE)
        with pytest.raises(CopiesChangedError):  # nothing for the copy that serves
            await store.upsert("staff", faces_of(2), native(features, OTHER_SPACE))
        with pytest.raises(CopiesChangedError):  # something for a copy that is not there
            await store.upsert("staff", faces_of(2), native(features), [translated(features, OTHER_SPACE)])
        assert await store.info("staff") == info_of("staff", 0, 0)


async def test_a_face_given_twice_in_one_batch_is_as_the_last_says(stores: Stores) -> None:
    features = unit_features(3)
    faces = [Face("twice", "first"), Face("once", "somebody"), Face("twice", "last")]
    async with stores.open() as store:
        await store.create("staff", SPACE)
        assert await store.upsert("staff", faces, native(features)) == 2
        assert (await store.get("staff", "twice")).face == faces[2]
        [[best]] = (await store.search("staff", SPACE, features[2:], 1)).matches
        assert (best.face_id, best.subject) == ("twice", "last")
        assert await store.info("staff") == info_of("staff", 2, 2)


async def test_a_subject_names_its_faces_and_keeps_its_metadata_until_the_last_one_goes(stores: Stores) -> None:
    faces = [Face("b", "ada"), Face("a", "ada"), Face("c", "grace")]
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(unit_features(3)))
        assert await store.subject("staff", "ada") == SubjectRecord("ada", ("a", "b"), "{}")
        await store.describe_subject("staff", "ada", '{"room":12}')
        await store.upsert("staff", faces[:1], native(unit_features(1)))
        await store.delete_face("staff", "a")
        assert await store.subject("staff", "ada") == SubjectRecord("ada", ("b",), '{"room":12}')
        await store.upsert("staff", [Face("b", "grace")], native(unit_features(1)))
        assert (await store.subject("staff", "grace")).face_ids == ("b", "c")
        for operation in (store.subject("staff", "ada"), store.describe_subject("staff", "ada", "{}")):
            with pytest.raises(UnknownSubjectError):
                await operation
        await store.upsert("staff", [Face("b", "ada")], native(unit_features(1)))
        assert (await store.subject("staff", "ada")).metadata == "{}"


async def test_deleting_a_face_or_a_subject_takes_it_out_of_search_counts_and_originals(stores: Stores) -> None:
    faces, features = faces_of(30, faces_per_subject=3), unit_features(30)
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(features))
        await store.delete_face("staff", faces[0].face_id)
        assert await store.delete_subject("staff", faces[3].subject) == 3
        gone = {faces[row].face_id for row in (0, 3, 4, 5)}
        assert await store.info("staff") == info_of("staff", 26, 9)
        for row in range(30):
            [matches] = (await store.search("staff", SPACE, features[row : row + 1], 30)).matches
            assert {match.face_id for match in matches} == {face.face_id for face in faces} - gone
            if faces[row].face_id not in gone:
                assert matches[0].face_id == faces[row].face_id
        assert set(await all_originals(store, "staff")) == {face.face_id for face in faces} - gone
        for face_id in gone:
            with pytest.raises(UnknownFaceError):
                await store.get("staff", face_id)
            with pytest.raises(UnknownFaceError):
                await store.delete_face("staff", face_id)
        with pytest.raises(UnknownSubjectError):
            await store.delete_subject("staff", faces[3].subject)
        assert await store.upsert("staff", faces[:5], native(features[:5])) == 3
        assert await store.info("staff") == info_of("staff", 29, 10)


async def test_ids_are_told_apart_to_the_last_character(stores: Stores) -> None:
    ids = ["a", "A", "a.b", "a-b", "a:b", "a@b", "a=b", "a+b", "a_b", "x" * 128, "x" * 127]
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", [Face(i, i, (i,)) for i in ids], native(unit_features(len(ids))))
        for tag in ids:
            found = await store.search("staff", SPACE, unit_features(1), 20, where=Where(tags=(tag,)))
            assert [match.face_id for match in found.matches[0]] == [tag]
        for position, subject in enumerate(ids, start=1):
            assert await store.delete_subject("staff", subject) == 1
            assert await store.info("staff") == info_of("staff", len(ids) - position, len(ids) - position)


async def test_an_upsert_beyond_the_bound_changes_nothing(stores: Stores) -> None:
    async with stores.open() as store:
        await store.create("staff", SPACE)
        for start in range(0, FACES_MAX - 1, 5000):
            rows = min(5000, FACES_MAX - 1 - start)
            await store.upsert("staff", [Face(f"f{start + i}", "s") for i in range(rows)], native(unit_features(rows)))
        faces = [Face("f0", "t"), Face("new-1", "t"), Face("new-2", "t")]
        with pytest.raises(GalleryLimitError):
            await store.upsert("staff", faces, native(unit_features(3)))
        assert await store.info("staff") == info_of("staff", FACES_MAX - 1, 1)
        assert (await store.get("staff", "f0")).face.subject == "s"
        assert await store.upsert("staff", [Face("f0", "t"), Face("new-1", "t")], native(unit_features(2))) == 1


async def test_the_number_of_galleries_is_bounded(stores: Stores) -> None:
    async with stores.open() as store:
        for name in ("a", "b", "c"):
            await store.create(name, SPACE)
        with pytest.raises(GalleryLimitError):
            await store.create("d", SPACE)
        assert await store.create("c", SPACE) is False
        await store.drop("a")
        assert await store.create("d", SPACE) is True


async def test_originals_come_once_each_in_order_with_their_features(stores: Stores) -> None:
    rows = 2500
    faces, features = faces_of(rows), unit_features(rows)
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(features))
        pages, after = [], None
        while page := await store.originals("staff", after, 700):
            pages.append(page)
            after = page[-1].face.face_id
            if len(pages) == 1:
                await store.delete_face("staff", "face-001200")  # deleted meanwhile: left out
    assert [len(page) for page in pages] == [700, 700, 700, 399]
    order = sorted(range(rows), key=lambda row: faces[row].face_id)
    order.remove(next(row for row in range(rows) if faces[row].face_id == "face-001200"))
    originals = [original for page in pages for original in page]
    assert [original.face for original in originals] == [faces[row] for row in order]
    read = np.stack([original.feature for original in originals])
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, features[order], atol=stores.tolerance)
    np.testing.assert_allclose(np.linalg.norm(read, axis=1), 1.0, atol=1e-6)


async def test_every_enrolment_of_a_face_has_a_revision_of_its_own(stores: Stores) -> None:
    revisions = []
    async with stores.open() as store:
        await store.create("staff", SPACE)
        for again in (False, False, True, True):
            if again:
                await store.delete_face("staff", "a")
            await store.upsert("staff", [Face("a", "somebody")], native(unit_features(1)))
            [original] = await store.originals("staff", None, 1)
            revisions.append(original.revision)
    assert len(set(revisions)) == 4


async def test_everything_is_there_after_closing_and_opening_again(stores: Stores) -> None:
    faces, features = faces_of(1500, faces_per_subject=2), unit_features(1500)
    faces[3] = Face(faces[3].face_id, faces[3].subject, ("tag",), 12_345, '{"a":1}')
    probes, where = features[:20], Where(tags=("tag",), until_ms=12_346)
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.create("visitors", OTHER_SPACE)
        await store.upsert("staff", faces, native(features))
        await store.upsert("staff", [Face(faces[1].face_id, "moved")], native(features[:1]))
        await store.upsert("visitors", faces[:7], native(features[:7], OTHER_SPACE))
        await store.delete_face("staff", faces[2].face_id)
        await store.describe_subject("staff", faces[9].subject, '{"b":2}')
        before = [await store.list(), await all_originals(store, "staff"), await store.subject("staff", "moved")]
        found = [await store.search("staff", SPACE, probes, 5, ranking=ranking) for ranking in Ranking]
    async with stores.open() as store:
        assert [
            await store.list(),
            await all_originals(store, "staff"),
            await store.subject("staff", "moved"),
        ] == before
        assert [await store.search("staff", SPACE, probes, 5, ranking=ranking) for ranking in Ranking] == found
        tagged = await store.search("staff", SPACE, probes[:1], 5, where=where)
        assert [match.face_id for match in tagged.matches[0]] == [faces[3].face_id]
        assert (await store.get("staff", faces[3].face_id)).face == faces[3]
        assert (await store.subject("staff", faces[9].subject)).metadata == '{"b":2}'
        assert await store.upsert("staff", [Face("later", "somebody")], native(features[:1])) == 1
        assert (await store.info("staff")).faces == 1500


async def test_every_operation_names_an_unknown_gallery(stores: Stores) -> None:
    async with stores.open() as store:
        operations = [
            store.info("nowhere"),
            store.drop("nowhere"),
            store.upsert("nowhere", faces_of(1), native(unit_features(1))),
            store.get("nowhere", "a"),
            store.subject("nowhere", "a"),
            store.describe_subject("nowhere", "a", "{}"),
            store.delete_face("nowhere", "a"),
            store.delete_subject("nowhere", "a"),
            store.search("nowhere", SPACE, unit_features(1), 1),
            store.originals("nowhere", None, 1),
            store.origins("nowhere"),
        ]
        for operation in operations:
            with pytest.raises(UnknownGalleryError):
                await operation


async def test_a_store_is_ready_until_it_is_closed(stores: Stores) -> None:
    async with stores.open() as store:
        assert await store.ready()
        await store.close()
        await store.close()
