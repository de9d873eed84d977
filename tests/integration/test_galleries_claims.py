"""What every gallery store promises of claims and of what fills them, asked of each."""

import asyncio

import numpy as np
import pytest

from service.errors import CopiesChangedError, UnknownFaceError
from service.galleries.values import Claim, Face, HeldRendition, Rendition
from tests.integration.gallery_copies import LONG_MS, TRANSLATOR, complete, copies, enrolled, ids, translate, translated
from tests.integration.gallery_stores import OTHER_SPACE, SPACE, Stores, unit_features

PATIENCE_S = 60
pytestmark = pytest.mark.anyio


async def test_claims_walk_all_missing_faces_in_order_and_none_twice(stores: Stores) -> None:
    async with stores.open() as store:
        faces, features = await enrolled(store, 250)
        await store.add_copy("staff", OTHER_SPACE)
        assert await store.claim("staff", SPACE, 10, LONG_MS) is None
        claims = [await store.claim("staff", OTHER_SPACE, 100, LONG_MS) for _ in range(4)]
        assert [len(ids(claim)) for claim in claims] == [100, 100, 50, 0]
        assert [face_id for claim in claims for face_id in ids(claim)] == sorted(face.face_id for face in faces)
        by_id = {face.face_id: (face, feature) for face, feature in zip(faces, features, strict=True)}
        for claim in claims[:3]:
            assert claim is not None
            for original in claim.originals:
                face, feature = by_id[original.face.face_id]
                assert (original.face, original.space) == (face, SPACE)
                np.testing.assert_allclose(original.feature, feature, atol=stores.tolerance)
            assert await translate(store, claim) == len(claim.originals)
            assert await translate(store, claim) == 0
        assert await copies(store) == {SPACE.id: 250, OTHER_SPACE.id: 250}
        assert await store.claim("staff", OTHER_SPACE, 100, LONG_MS) is None


async def test_workers_at_once_share_a_copy_and_write_each_face_once(stores: Stores) -> None:
    async with stores.open() as store:
        faces, features = await enrolled(store, 500)
        await store.add_copy("staff", OTHER_SPACE)
        written = await asyncio.gather(*(complete(store, limit=17) for _ in range(8)))
        assert sum(written) == 500
        found = await store.search("staff", OTHER_SPACE, translated(features).features, 1)
        assert [best.face_id for [best] in found.matches] == [face.face_id for face in faces]


async def test_a_lease_that_ended_is_given_again_and_its_first_holder_may_still_write(stores: Stores) -> None:
    async with stores.open() as store:
        await enrolled(store, 10)
        await store.add_copy("staff", OTHER_SPACE)
        first = await store.claim("staff", OTHER_SPACE, 6, 1)
        assert first is not None
        rest = await store.claim("staff", OTHER_SPACE, 10, LONG_MS)
        assert rest is not None
        again: list[Claim] = [rest] if set(ids(rest)) & set(ids(first)) else []
        async with asyncio.timeout(PATIENCE_S):
            while not again:  # until the lease has ended
                if claim := await store.claim("staff", OTHER_SPACE, 10, LONG_MS):
                    again.append(claim)
        assert set(ids(first)) <= set(ids(again[0]))
        assert await translate(store, first) == 6
        assert await translate(store, again[0]) + (await translate(store, rest)) == 4
        assert await copies(store) == {SPACE.id: 10, OTHER_SPACE.id: 10}


async def test_a_fill_leaves_faces_alone_that_were_deleted_or_enrolled_anew(stores: Stores) -> None:
    async with stores.open() as store:
        await enrolled(store, 5)
        await store.add_copy("staff", OTHER_SPACE)
        claim = await store.claim("staff", OTHER_SPACE, 5, LONG_MS)
        assert claim is not None
        deleted, moved, renewed, *_ = ids(claim)
        await store.delete_face("staff", deleted)
        native = Rendition(SPACE, unit_features(1, seed=8))
        await store.upsert("staff", [Face(moved, "somebody-else")], native)
        await store.upsert("staff", [Face(renewed, "anybody")], native, [Rendition(OTHER_SPACE, native.features)])
        assert await translate(store, claim) == 2
        assert await copies(store) == {SPACE.id: 4, OTHER_SPACE.id: 3}
        with pytest.raises(UnknownFaceError):
            await store.get("staff", deleted)
        assert (await store.get("staff", renewed)).held[0] == HeldRendition(OTHER_SPACE.id, None, None)
        assert ids(await store.claim("staff", OTHER_SPACE, 5, LONG_MS)) == [moved]


async def test_faces_enrolled_behind_the_claims_are_claimed_too(stores: Stores) -> None:
    async with stores.open() as store:
        await enrolled(store, 20)
        await store.add_copy("staff", OTHER_SPACE)
        assert len(ids(await store.claim("staff", OTHER_SPACE, 15, LONG_MS))) == 15
        late = [Face("a-first", "late"), Face("face-000003a", "late")]
        await store.upsert("staff", late, Rendition(SPACE, unit_features(2, seed=3)))
        claimed: list[str] = []
        while claim := await store.claim("staff", OTHER_SPACE, 4, LONG_MS):
            claimed += ids(claim)
        assert sorted(claimed) == sorted(["a-first", "face-000003a", *(f"face-{i:06d}" for i in range(15, 20))])


async def test_renditions_of_several_translators_fill_one_claim(stores: Stores) -> None:
    async with stores.open() as store:
        await enrolled(store, 5)
        await store.add_copy("staff", OTHER_SPACE)
        claim = await store.claim("staff", OTHER_SPACE, 5, LONG_MS)
        assert claim is not None
        features = unit_features(5, seed=2)
        renditions = [Rendition(OTHER_SPACE, features[:2], "one@1"), translated(features[2:])]
        assert await store.fill("staff", claim, renditions) == 5
        records = [await store.get("staff", face_id) for face_id in ids(claim)]
        assert [record.held[0].translator for record in records] == ["one@1"] * 2 + [TRANSLATOR] * 3
        assert [record.held[0].confidence for record in records] == [None, None, 0.5, 0.75, 1.0]


async def test_a_fill_or_claim_of_a_copy_that_went_is_refused(stores: Stores) -> None:
    async with stores.open() as store:
        await enrolled(store, 5)
        with pytest.raises(CopiesChangedError):
            await store.claim("staff", OTHER_SPACE, 5, LONG_MS)
        await store.add_copy("staff", OTHER_SPACE)
        claim = await store.claim("staff", OTHER_SPACE, 5, LONG_MS)
        assert claim is not None
        await store.drop_copy("staff", OTHER_SPACE)
        with pytest.raises(CopiesChangedError):
            await translate(store, claim)
        with pytest.raises(CopiesChangedError):
            await store.claim("staff", OTHER_SPACE, 5, LONG_MS)


async def test_a_claim_has_room_for_what_is_missing_before_and_behind_the_last(stores: Stores) -> None:
    async with stores.open() as store:
        await enrolled(store, 20)
        await store.add_copy("staff", OTHER_SPACE)
        assert await complete(store) == 20
        for face_id in ("a-first", "z-last"):
            await store.upsert("staff", [Face(face_id, "late")], Rendition(SPACE, unit_features(1, seed=4)))
        assert ids(await store.claim("staff", OTHER_SPACE, 10, LONG_MS)) == ["a-first", "z-last"]
        assert await store.claim("staff", OTHER_SPACE, 10, LONG_MS) is None


async def test_faces_that_were_filled_by_their_enrolment_keep_no_other_from_being_claimed(stores: Stores) -> None:
    async with stores.open() as store:
        faces, _ = await enrolled(store, 20)
        await store.add_copy("staff", OTHER_SPACE)
        claim = await store.claim("staff", OTHER_SPACE, 20, LONG_MS)
        assert claim is not None
        anew = unit_features(5, seed=4)
        await store.upsert("staff", faces[:5], Rendition(SPACE, anew), [translated(anew)])
        await store.upsert("staff", [Face("a-first", "late")], Rendition(SPACE, anew[:1]))
        assert ids(await store.claim("staff", OTHER_SPACE, 10, LONG_MS)) == ["a-first"]
        assert await translate(store, claim) == 15


async def test_a_lease_ends_with_what_was_missing(stores: Stores) -> None:
    feature = unit_features(1, seed=4)
    async with stores.open() as store:
        faces, _ = await enrolled(store, 3)
        await store.add_copy("staff", OTHER_SPACE)
        claim = await store.claim("staff", OTHER_SPACE, 3, LONG_MS)
        assert claim is not None
        deleted, filled, leased = faces
        await store.delete_face("staff", deleted.face_id)
        await store.upsert("staff", [filled], Rendition(SPACE, feature), [translated(feature)])
        for face in (deleted, filled, leased):  # from now on missing, but for the last one for the first time
            await store.upsert("staff", [face], Rendition(SPACE, feature))
        again = await store.claim("staff", OTHER_SPACE, 3, LONG_MS)
        assert again is not None
        assert ids(again) == sorted([deleted.face_id, filled.face_id])
        assert await translate(store, claim) == 0
        assert ids(await store.claim("staff", OTHER_SPACE, 3, LONG_MS)) == [leased.face_id]
        assert await translate(store, again) == 2
