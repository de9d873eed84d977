"""What every gallery store promises of enrolment into copies and out of them, asked of each."""

import numpy as np
import pytest

from contract.spaces import FeatureSpace
from service.errors import (
    CopiesChangedError,
    UnknownFaceError,
)
from service.galleries.values import Face, HeldRendition, Rendition
from tests.integration.gallery_copies import (
    LONG_MS,
    THIRD_SPACE,
    TRANSLATOR,
    complete,
    copies,
    enrolled,
    ids,
    translate,
    translated,
)
from tests.integration.gallery_stores import (
    OTHER_SPACE,
    SPACE,
    Stores,
    faces_of,
    unit_features,
)

pytestmark = pytest.mark.anyio


async def test_enrolment_goes_into_every_copy_for_which_something_is_given(stores: Stores) -> None:
    features = unit_features(3)
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.add_copy("staff", OTHER_SPACE)
        both = translated(features)
        assert await store.upsert("staff", faces_of(3), Rendition(SPACE, features), [both]) == [True] * 3
        assert await copies(store) == {SPACE.id: 3, OTHER_SPACE.id: 3}
        record = await store.get("staff", faces_of(3)[1].face_id)
        assert record.origin == SPACE.id
        assert record.held == (HeldRendition(OTHER_SPACE.id, TRANSLATOR, 0.75), HeldRendition(SPACE.id, None, None))
        for space, probes in ((SPACE, features), (OTHER_SPACE, both.features)):
            found = await store.search("staff", space, probes, 1)
            assert [best.face_id for [best] in found.matches] == [face.face_id for face in faces_of(3)]
            assert found.searched == 3


async def test_enrolment_from_a_space_without_a_copy_keeps_the_original(stores: Stores) -> None:
    native = Rendition(THIRD_SPACE, unit_features(3, dim=THIRD_SPACE.dim))
    async with stores.open() as store:
        await enrolled(store, 5)
        guests = [Face(f"guest-{i}", "guest") for i in range(3)]
        await store.upsert("staff", guests, native, [Rendition(SPACE, unit_features(3, seed=1), TRANSLATOR)])
        assert await store.origins("staff") == {SPACE.id: 5, THIRD_SPACE.id: 3}
        record = await store.get("staff", "guest-1")
        assert record.origin == THIRD_SPACE.id
        assert record.held == (HeldRendition(SPACE.id, TRANSLATOR, None),)
        originals = await store.originals("staff", "face-999999", 10)
        assert [original.face for original in originals] == guests
        assert {original.space for original in originals} == {THIRD_SPACE}
        kept = np.stack([original.feature for original in originals])
        np.testing.assert_allclose(kept, native.features, atol=stores.tolerance)
        await store.upsert("staff", guests[:1], Rendition(SPACE, unit_features(1)))
        assert await store.origins("staff") == {SPACE.id: 6, THIRD_SPACE.id: 2}


async def test_enrolment_that_does_not_know_the_copies_changes_nothing(stores: Stores) -> None:
    one = [Face("new", "somebody")]
    native, other = Rendition(SPACE, unit_features(1)), Rendition(OTHER_SPACE, unit_features(1), TRANSLATOR)
    wider = Rendition(FeatureSpace(id=SPACE.id, dim=8), unit_features(1, dim=8))
    async with stores.open() as store:
        await enrolled(store, 5)
        for original, renditions in ((other, []), (native, [other]), (wider, [])):
            with pytest.raises(CopiesChangedError):
                await store.upsert("staff", one, original, renditions)
        assert await copies(store) == {SPACE.id: 5}
        with pytest.raises(UnknownFaceError):
            await store.get("staff", "new")


async def test_a_replaced_photo_comes_back_in_no_copy(stores: Stores) -> None:
    async with stores.open() as store:
        faces, features = await enrolled(store, 3)
        await store.add_copy("staff", OTHER_SPACE)
        await complete(store)
        await store.upsert("staff", faces[:2], Rendition(SPACE, unit_features(2, seed=7)))
        assert await copies(store) == {SPACE.id: 3, OTHER_SPACE.id: 1}
        for face in faces[:2]:
            assert [held.space for held in (await store.get("staff", face.face_id)).held] == [SPACE.id]
        found = await store.search("staff", OTHER_SPACE, translated(features).features, 3)
        assert [[match.face_id for match in matches] for matches in found.matches] == [[faces[2].face_id]] * 3
        claim = await store.claim("staff", OTHER_SPACE, 10, LONG_MS)
        assert ids(claim) == sorted(face.face_id for face in faces[:2])
        assert claim is not None
        await translate(store, claim)
        anew = await store.search("staff", OTHER_SPACE, translated(unit_features(2, seed=7)).features, 1)
        assert [matches[0].face_id for matches in anew.matches] == [face.face_id for face in faces[:2]]


async def test_a_deleted_face_is_in_no_copy(stores: Stores) -> None:
    async with stores.open() as store:
        faces, features = await enrolled(store, 30, faces_per_subject=3)
        await store.add_copy("staff", OTHER_SPACE)
        await complete(store)
        await store.delete_face("staff", faces[0].face_id)
        await store.delete_subject("staff", faces[5].subject)
        left = {face.face_id for face in faces[1:3] + faces[6:]}
        assert await copies(store) == {SPACE.id: 26, OTHER_SPACE.id: 26}
        assert await store.origins("staff") == {SPACE.id: 26}
        for space, probes in ((SPACE, features), (OTHER_SPACE, translated(features).features)):
            found = await store.search("staff", space, probes, 30)
            assert all({match.face_id for match in matches} == left for matches in found.matches)
