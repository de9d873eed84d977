"""What every gallery store promises of a copy that serves although faces are missing in it, asked of each."""

import numpy as np
import pytest

from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.errors import CopyIncompleteError
from service.galleries.base import GalleryStore
from service.galleries.values import Claim, Copy, Face, Ranking, Rendition, Where
from tests.integration.gallery_copies import LONG_MS, complete, copies, enrolled, ids, translated
from tests.integration.gallery_stores import OTHER_SPACE, SPACE, Stores, unit_features

pytestmark = pytest.mark.anyio

FACES = 20
NEWCOMERS = [Face(f"newcomer-{i}", f"newcomer-{i // 2}", tags=("late",), enrolled_at_ms=i) for i in range(4)]
NATIVE = unit_features(len(NEWCOMERS), seed=5)


async def rolled_back(store: GalleryStore) -> Features:
    """`staff` migrated to OTHER_SPACE and back, while newcomers came who are in that space only."""
    _, features = await enrolled(store, FACES, faces_per_subject=2)
    await store.add_copy("staff", OTHER_SPACE)
    await complete(store)
    await store.serve("staff", OTHER_SPACE)
    await store.upsert("staff", NEWCOMERS, Rendition(OTHER_SPACE, NATIVE))
    with pytest.raises(CopyIncompleteError):
        await store.serve("staff", SPACE)
    await store.serve("staff", SPACE, complete=False)
    return features


async def fill(store: GalleryStore, claim: Claim, space: FeatureSpace) -> int:
    """Fill a claim with anything."""
    return await store.fill("staff", claim, [Rendition(space, unit_features(len(claim.originals)), "x@1")])


async def test_it_serves_what_it_holds_and_the_record_has_the_others(stores: Stores) -> None:
    async with stores.open() as store:
        features = await rolled_back(store)
    async with stores.open() as store:
        info = await store.info("staff")
        assert (info.space, info.faces) == (SPACE, FACES + 4)
        assert info.copies == (Copy(SPACE, FACES), Copy(OTHER_SPACE, FACES + 4, None, info.copies[1].translators))
        for ranking in Ranking:
            found = await store.search("staff", SPACE, features[:2], FACES + 4, ranking=ranking)
            assert found.searched == FACES
            subjects = {match.subject for match in found.matches[0]}
            assert len(found.matches[0]) == (FACES if ranking is Ranking.FACES else FACES // 2)
            assert not subjects & {face.subject for face in NEWCOMERS}
            late = await store.search("staff", SPACE, features[:2], 5, ranking=ranking, where=Where(tags=("late",)))
            assert (late.matches, late.searched) == ([[], []], 0)
        record = await store.get("staff", "newcomer-1")
        assert (record.origin, [held.space for held in record.held]) == (OTHER_SPACE.id, [OTHER_SPACE.id])
        assert (await store.subject("staff", "newcomer-0")).face_ids == ("newcomer-0", "newcomer-1")


async def test_a_face_in_one_copy_alone_is_found_there(stores: Stores) -> None:
    async with stores.open() as store:
        _, features = await enrolled(store, FACES)
        await store.add_copy("staff", OTHER_SPACE)
        await store.upsert("staff", NEWCOMERS[:2], Rendition(SPACE, NATIVE[:2]))
        await store.serve("staff", OTHER_SPACE, complete=False)
        await store.upsert("staff", NEWCOMERS[2:], Rendition(OTHER_SPACE, NATIVE[2:]))
        for space, rows in ((SPACE, range(2)), (OTHER_SPACE, range(2, 4))):
            found = await store.search("staff", space, NATIVE[rows], 1)
            assert [best.face_id for [best] in found.matches] == [NEWCOMERS[row].face_id for row in rows]
            everybody = await store.search("staff", space, features[:1], 100)
            assert len(everybody.matches[0]) == everybody.searched == len(rows) + (FACES if space == SPACE else 0)


async def test_its_missing_faces_come_back_with_the_next_cut_over(stores: Stores) -> None:
    async with stores.open() as store:
        await rolled_back(store)
        await store.serve("staff", OTHER_SPACE)
        found = await store.search("staff", OTHER_SPACE, NATIVE, 1)
        assert [best.face_id for [best] in found.matches] == [face.face_id for face in NEWCOMERS]
        await store.serve("staff", SPACE, complete=False)
        await store.drop_copy("staff", OTHER_SPACE)
        await store.add_copy("staff", OTHER_SPACE)
        originals = {original.face: original for original in await store.originals("staff", None, 100)}
        assert len(originals) == FACES + 4
        for face, feature in zip(NEWCOMERS, NATIVE, strict=True):
            np.testing.assert_allclose(originals[face].feature, feature, atol=stores.tolerance)
        while claim := await store.claim("staff", OTHER_SPACE, 100, LONG_MS):
            natives = [o.feature if o.space == OTHER_SPACE else o.feature[::-1] for o in claim.originals]
            await store.fill("staff", claim, [Rendition(OTHER_SPACE, np.stack(natives))])
        await store.serve("staff", OTHER_SPACE)
        found = await store.search("staff", OTHER_SPACE, NATIVE, 1)
        assert [best.face_id for [best] in found.matches] == [face.face_id for face in NEWCOMERS]


async def test_its_missing_faces_can_be_enrolled_deleted_and_filled(stores: Stores) -> None:
    async with stores.open() as store:
        await rolled_back(store)
        again = unit_features(1, seed=6)
        assert await store.upsert("staff", NEWCOMERS[:1], Rendition(SPACE, again), [translated(again)]) == [False]
        assert await copies(store) == {SPACE.id: FACES + 1, OTHER_SPACE.id: FACES + 4}
        await store.delete_face("staff", "newcomer-1")
        assert await copies(store) == {SPACE.id: FACES + 1, OTHER_SPACE.id: FACES + 3}
        claim = await store.claim("staff", SPACE, 10, LONG_MS)
        assert claim is not None
        assert ids(claim) == ["newcomer-2", "newcomer-3"]
        assert await fill(store, claim, SPACE) == 2
        assert await store.delete_subject("staff", "newcomer-1") == 2
        assert await copies(store) == {SPACE.id: FACES + 1, OTHER_SPACE.id: FACES + 1}
        [[best]] = (await store.search("staff", SPACE, again, 1)).matches
        assert best.face_id == "newcomer-0"


async def test_each_copy_is_filled_with_what_it_lacks_of_the_other(stores: Stores) -> None:
    async with stores.open() as store:
        await rolled_back(store)
        natives = [Face(f"another-{i}", "another") for i in range(3)]
        await store.upsert("staff", natives, Rendition(SPACE, unit_features(3, seed=7)))
        assert await copies(store) == {SPACE.id: FACES + 3, OTHER_SPACE.id: FACES + 4}
        with pytest.raises(CopyIncompleteError):
            await store.serve("staff", OTHER_SPACE)
        claims = [(space, await store.claim("staff", space, 2, LONG_MS)) for space in (SPACE, OTHER_SPACE, SPACE)]
        for space, claim in claims:
            assert claim is not None
            assert await fill(store, claim, space) == 2
        last = await store.claim("staff", OTHER_SPACE, 2, LONG_MS)
        assert last is not None
        assert await fill(store, last, OTHER_SPACE) == 1
        assert await copies(store) == {SPACE.id: FACES + 7, OTHER_SPACE.id: FACES + 7}
        await store.serve("staff", OTHER_SPACE)


async def test_who_asks_that_nothing_is_missing_is_refused_though_it_serves_already(stores: Stores) -> None:
    async with stores.open() as store:
        await enrolled(store, FACES)
        for _ in range(2):
            await store.serve("staff", SPACE)
        await store.add_copy("staff", OTHER_SPACE)
        for _ in range(2):
            await store.serve("staff", OTHER_SPACE, complete=False)
            with pytest.raises(CopyIncompleteError):
                await store.serve("staff", OTHER_SPACE)
        assert (await store.info("staff")).space == OTHER_SPACE
        await complete(store)
        await store.serve("staff", OTHER_SPACE)


async def test_a_face_that_is_leased_for_one_copy_can_be_claimed_for_the_other(stores: Stores) -> None:
    newcomers = [face.face_id for face in NEWCOMERS]
    async with stores.open() as store:
        await rolled_back(store)
        await store.drop_copy("staff", OTHER_SPACE)
        await store.add_copy("staff", OTHER_SPACE)  # newcomers are in neither copy now
        old = await store.claim("staff", SPACE, 100, LONG_MS)
        new = await store.claim("staff", OTHER_SPACE, 100, LONG_MS)
        assert old is not None
        assert new is not None
        assert ids(old) == newcomers
        assert len(ids(new)) == FACES + 4
        await store.serve("staff", OTHER_SPACE, complete=False)
        assert [await store.claim("staff", space, 100, LONG_MS) for space in (SPACE, OTHER_SPACE)] == [None, None]
        assert await fill(store, old, SPACE) == 4
        assert await store.claim("staff", OTHER_SPACE, 100, LONG_MS) is None
        assert await fill(store, new, OTHER_SPACE) == FACES + 4
        assert await copies(store) == {SPACE.id: FACES + 4, OTHER_SPACE.id: FACES + 4}


async def test_even_so_it_has_to_be_there(stores: Stores) -> None:
    async with stores.open() as store:
        await enrolled(store, 3)
        with pytest.raises(CopyIncompleteError):
            await store.serve("staff", OTHER_SPACE, complete=False)
        await store.add_copy("staff", OTHER_SPACE)
        with pytest.raises(CopyIncompleteError):
            await store.serve("staff", OTHER_SPACE, key="another", complete=False)
        assert (await store.info("staff")).space == SPACE
