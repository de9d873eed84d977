"""What every gallery store promises of faces, subjects and originals, asked of each."""

import numpy as np
import pytest

from service.errors import (
    CopiesChangedError,
    UnknownFaceError,
    UnknownSubjectError,
)
from service.galleries.values import Face, HeldRendition, SubjectRecord, Where
from tests.integration.gallery_stores import (
    OTHER_SPACE,
    SPACE,
    Stores,
    all_originals,
    faces_of,
    info_of,
    native,
    translated,
    unit_features,
)

pytestmark = pytest.mark.anyio


async def test_everything_about_a_face_is_kept_and_replaced(stores: Stores) -> None:
    features = unit_features(3)
    plain = Face("a:1", "subject@x")
    full = Face("b+2", "subject=y", ("entrance", "north"), 1_700_000_000_123, '{"camera":7,"note":"ä \\"quoted\\""}')
    async with stores.open() as store:
        await store.create("staff", SPACE)
        assert await store.upsert("staff", [plain, full], native(features[:2])) == [True, True]
        for face in (plain, full):
            record = await store.get("staff", face.face_id)
            assert (record.face, record.origin) == (face, SPACE.id)
            assert record.held == (HeldRendition(SPACE.id, None, None),)
        assert await store.info("staff") == info_of("staff", 2, 2)
        moved = Face("b+2", "subject@x", ("south",), 5)
        assert await store.upsert("staff", [moved, Face("c", "subject@x")], native(features[1:])) == [False, True]
        assert (await store.get("staff", "b+2")).face == moved
        assert await store.info("staff") == info_of("staff", 3, 1)
        [[best]] = (await store.search("staff", SPACE, features[1:2], 1)).matches
        assert (best.face_id, best.subject) == ("b+2", "subject@x")
        assert best.similarity == pytest.approx(1.0, abs=stores.tolerance)


async def test_a_translated_face_is_searched_as_translated_and_keeps_its_original(stores: Stores) -> None:
    faces, before, after = faces_of(3), unit_features(3, seed=1), unit_features(3, seed=2)
    async with stores.open() as store:
        await store.create("staff", SPACE)
        assert await store.upsert("staff", faces, native(before, OTHER_SPACE), [translated(after)]) == [True] * 3
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
        assert await store.upsert("staff", faces, native(features)) == [True, True, False]
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


async def test_a_subject_is_described_by_the_enrolment_of_its_faces(stores: Stores) -> None:
    described = Face("c", "ada", subject_metadata='{"room":7}')
    async with stores.open() as store:
        await store.create("staff", SPACE)
        faces = [Face("a", "ada", subject_metadata='{"room":12}'), Face("b", "ada"), Face("d", "grace")]
        await store.upsert("staff", faces, native(unit_features(3)))
        assert (await store.subject("staff", "ada")).metadata == '{"room":12}'
        assert (await store.subject("staff", "grace")).metadata == "{}"
        moved = [Face("d", "ada"), described, Face("e", "grace", subject_metadata='{"room":1}')]
        await store.upsert("staff", moved, native(unit_features(3)))
        told = {original.face.face_id: original.face for original in await store.originals("staff", None, 9)}
        assert {face_id: face.subject_metadata for face_id, face in told.items()} == {
            **dict.fromkeys("abcd", '{"room":7}'),
            "e": '{"room":1}',
        }
        assert (await store.get("staff", "c")).face == Face("c", "ada")
        await store.upsert("staff", [Face("e", "grace", subject_metadata="{}")], native(unit_features(1)))
        assert [face.face.subject_metadata for face in await store.originals("staff", "d", 9)] == [None]


@pytest.mark.parametrize(
    "given",
    [
        [Face("old", "bert"), Face("new", "anna")],  # the last face goes before another comes
        [Face("old", "bert"), Face("old", "anna")],
        [Face("old", "bert"), Face("new", "anna"), Face("new", "bert"), Face("newer", "anna")],
    ],
)
async def test_a_subject_that_has_a_face_after_the_last_row_keeps_its_metadata(
    stores: Stores, given: list[Face]
) -> None:
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", [Face("old", "anna")], native(unit_features(1)))
        await store.describe_subject("staff", "anna", '{"room":12}')
        await store.upsert("staff", given, native(unit_features(len(given))))
        last = {face.face_id: face.subject for face in given}
        assert (await store.subject("staff", "anna")).metadata == '{"room":12}'
        assert (await store.info("staff")).subjects == len(set(last.values()))


async def test_a_subject_that_comes_and_goes_in_one_batch_was_never_there(stores: Stores) -> None:
    async with stores.open() as store:
        await store.create("staff", SPACE)
        passing = [Face("a", "anna"), Face("a", "bert")]
        assert await store.upsert("staff", passing, native(unit_features(2))) == [True, False]
        assert await store.info("staff") == info_of("staff", 1, 1)
        with pytest.raises(UnknownSubjectError):
            await store.subject("staff", "anna")


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
        assert await store.upsert("staff", faces[:5], native(features[:5])) == [True, False, False, True, True]
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
