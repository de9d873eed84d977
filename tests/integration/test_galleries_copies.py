"""What every gallery store promises of copies, asked of each."""

from collections.abc import Mapping

import numpy as np
import pytest

from service.errors import (
    CopiesChangedError,
    CopyExistsError,
    CopyIncompleteError,
    CopyServesError,
    GallerySpaceMismatchError,
    GatewayError,
    UnknownGalleryError,
)
from service.galleries import refusals
from service.galleries.values import Copy, Face, HeldRendition, Rendition
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
)

pytestmark = pytest.mark.anyio


async def test_a_second_copy_begins_empty_beside_the_one_that_serves(stores: Stores) -> None:
    async with stores.open() as store:
        await enrolled(store, 5)
        await store.add_copy("staff", OTHER_SPACE)
        info = await store.info("staff")
        assert info.space == SPACE
        assert info.copies == (Copy(SPACE, 5), Copy(OTHER_SPACE, 0))
        assert await store.create("staff", SPACE) is False
        with pytest.raises(GallerySpaceMismatchError):
            await store.create("staff", OTHER_SPACE)
        for space in (SPACE, OTHER_SPACE, THIRD_SPACE):
            with pytest.raises(CopyExistsError):
                await store.add_copy("staff", space)


async def test_a_copy_serves_once_it_is_complete_and_back_again(stores: Stores) -> None:
    async with stores.open() as store:
        faces, features = await enrolled(store, 60)
        with pytest.raises(CopyIncompleteError):
            await store.serve("staff", OTHER_SPACE)
        await store.add_copy("staff", OTHER_SPACE)
        claim = await store.claim("staff", OTHER_SPACE, 59, LONG_MS)
        assert claim is not None
        await translate(store, claim)
        with pytest.raises(CopyIncompleteError):
            await store.serve("staff", OTHER_SPACE)
        await complete(store)
        for serving, other in ((OTHER_SPACE, SPACE), (SPACE, OTHER_SPACE), (OTHER_SPACE, SPACE)):
            await store.serve("staff", serving)
            await store.serve("staff", serving)
            info = await store.info("staff")
            assert info.space == serving
            assert {copy.space: copy.faces for copy in info.copies} == {serving: 60, other: 60}
        with pytest.raises(CopiesChangedError):
            await store.upsert("staff", faces[:1], Rendition(SPACE, features[:1]))
        await store.upsert("staff", [Face("new", "new")], Rendition(OTHER_SPACE, features[:1]))
        with pytest.raises(CopyIncompleteError):
            await store.serve("staff", SPACE)
        assert ids(await store.claim("staff", SPACE, 5, LONG_MS)) == ["new"]


async def test_a_copy_of_an_empty_gallery_serves(stores: Stores) -> None:
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.add_copy("staff", OTHER_SPACE)
        assert await store.claim("staff", OTHER_SPACE, 5, LONG_MS) is None
        await store.serve("staff", OTHER_SPACE)
        assert (await store.info("staff")).space == OTHER_SPACE


async def test_a_dropped_copy_leaves_the_originals_and_begins_empty_again(stores: Stores) -> None:
    async with stores.open() as store:
        _, features = await enrolled(store, 40)
        await store.add_copy("staff", OTHER_SPACE)
        await complete(store)
        with pytest.raises(CopyServesError):
            await store.drop_copy("staff", SPACE)
        await store.serve("staff", OTHER_SPACE)
        await store.drop_copy("staff", SPACE)
        await store.drop_copy("staff", SPACE)
        await store.drop_copy("staff", THIRD_SPACE)
        assert await copies(store) == {OTHER_SPACE.id: 40}
        with pytest.raises(GallerySpaceMismatchError):
            await store.search("staff", SPACE, features[:1], 1)
        originals = await store.originals("staff", None, 100)
        assert {original.space for original in originals} == {SPACE}
        await store.add_copy("staff", SPACE)
        assert await copies(store) == {OTHER_SPACE.id: 40, SPACE.id: 0}
        while claim := await store.claim("staff", SPACE, 7, LONG_MS):
            native = np.stack([original.feature for original in claim.originals])
            await store.fill("staff", claim, [Rendition(SPACE, native)])
        for before, after in zip(originals, await store.originals("staff", None, 100), strict=True):
            assert (after.face, after.revision) == (before.face, before.revision)
            np.testing.assert_array_equal(after.feature, before.feature)
        record = await store.get("staff", originals[0].face.face_id)
        assert record.held[1] == HeldRendition(SPACE.id, None, None)
        found = await store.search("staff", SPACE, features, 1)
        assert all(best.similarity == pytest.approx(1.0, abs=stores.tolerance) for [best] in found.matches)


async def test_a_copy_says_how_many_of_its_faces_each_translator_made(stores: Stores) -> None:
    async def made() -> list[Mapping[str, int]]:
        return [copy.translators for copy in (await store.info("staff")).copies]

    async with stores.open() as store:
        faces, features = await enrolled(store, 6)
        await store.add_copy("staff", OTHER_SPACE)
        assert await made() == [{}, {}]
        claim = await store.claim("staff", OTHER_SPACE, 4, LONG_MS)
        assert claim is not None
        await translate(store, claim)
        assert await made() == [{}, {TRANSLATOR: 4}]
        late = Rendition(OTHER_SPACE, features, "late@1")
        await store.upsert("staff", faces, Rendition(SPACE, features), [late])
        assert await made() == [{}, {"late@1": 6}]
        await store.upsert(
            "staff", faces[:1], Rendition(OTHER_SPACE, features[:1]), [Rendition(SPACE, features[:1], "back@2")]
        )
        assert await made() == [{"back@2": 1}, {"late@1": 5}]
        await store.delete_face("staff", faces[0].face_id)
        await store.delete_subject("staff", faces[1].subject)
        assert await made() == [{}, {"late@1": 4}]
    async with stores.open() as store:
        assert await made() == [{}, {"late@1": 4}]
        await store.drop_copy("staff", OTHER_SPACE)
        await store.add_copy("staff", OTHER_SPACE)
        assert await made() == [{}, {}]


async def test_with_a_key_only_the_copy_that_has_it_is_dropped_or_served(stores: Stores) -> None:
    async with stores.open() as store:
        keys = []
        for _ in range(2):  # a gallery that was dropped and made anew has other copies
            await enrolled(store, 3)
            for _ in range(2):
                await store.add_copy("staff", OTHER_SPACE)
                keys += [copy.key for copy in (await store.info("staff")).copies]
                await store.drop_copy("staff", OTHER_SPACE, key=keys[-1])
            assert keys[-4] == keys[-2]
            await store.drop("staff")
        assert len(set(keys)) == 6
        await enrolled(store, 3)
        await store.add_copy("staff", OTHER_SPACE)
        await complete(store)
        for key in keys:
            await store.drop_copy("staff", OTHER_SPACE, key=key)
            with pytest.raises(CopyIncompleteError):
                await store.serve("staff", OTHER_SPACE, key=key)
        serving, other = (await store.info("staff")).copies
        await store.drop_copy("staff", SPACE, key=other.key)
    async with stores.open() as store:
        assert [copy.key for copy in (await store.info("staff")).copies] == [serving.key, other.key]
        await store.serve("staff", OTHER_SPACE, key=other.key)
        assert [copy.key for copy in (await store.info("staff")).copies] == [other.key, serving.key]
        with pytest.raises(CopyServesError):
            await store.drop_copy("staff", OTHER_SPACE, key=other.key)


async def test_a_search_in_an_incomplete_copy_finds_what_is_there(stores: Stores) -> None:
    async with stores.open() as store:
        _, features = await enrolled(store, 20)
        await store.add_copy("staff", OTHER_SPACE)
        assert (await store.search("staff", OTHER_SPACE, features[:2], 3)).matches == [[], []]
        claim = await store.claim("staff", OTHER_SPACE, 8, LONG_MS)
        assert claim is not None
        await translate(store, claim)
        found = await store.search("staff", OTHER_SPACE, translated(features).features, 20)
        assert found.searched == 8
        assert all(sorted(match.face_id for match in matches) == ids(claim) for matches in found.matches)


async def test_a_gallery_dropped_with_its_copies_comes_back_empty(stores: Stores) -> None:
    async with stores.open() as store:
        await enrolled(store, 20)
        await store.add_copy("staff", OTHER_SPACE)
        claim = await store.claim("staff", OTHER_SPACE, 8, LONG_MS)
        assert claim is not None
        await store.drop("staff")
        with pytest.raises(UnknownGalleryError):
            await translate(store, claim)
        await enrolled(store, 20)
        with pytest.raises(CopiesChangedError):
            await translate(store, claim)
        await store.add_copy("staff", OTHER_SPACE)
        assert await copies(store) == {SPACE.id: 20, OTHER_SPACE.id: 0}


async def test_copies_are_there_after_closing_and_opening_again(stores: Stores) -> None:
    async with stores.open() as store:
        _, features = await enrolled(store, 30)
        await store.add_copy("staff", OTHER_SPACE)
        await complete(store)
        await store.serve("staff", OTHER_SPACE)
        probes = translated(features[:3]).features
        before = await store.info("staff"), await store.search("staff", OTHER_SPACE, probes, 5)
    async with stores.open() as store:
        assert (await store.info("staff"), await store.search("staff", OTHER_SPACE, probes, 5)) == before


async def test_every_operation_on_copies_names_an_unknown_gallery(stores: Stores) -> None:
    async with stores.open() as store:
        operations = [
            store.originals("nowhere", None, 1),
            store.add_copy("nowhere", SPACE),
            store.drop_copy("nowhere", SPACE),
            store.serve("nowhere", SPACE),
            store.origins("nowhere"),
            store.claim("nowhere", SPACE, 1, 1),
        ]
        for operation in operations:
            with pytest.raises(UnknownGalleryError):
                await operation


async def test_a_refusal_is_in_the_words_of_all_stores(stores: Stores) -> None:
    async with stores.open() as store:
        faces, features = await enrolled(store, 1)
        await store.add_copy("staff", OTHER_SPACE)
        refused = {
            refusals.COPIES_CHANGED: store.upsert("staff", faces, Rendition(OTHER_SPACE, features)),
            refusals.COPY_EXISTS: store.add_copy("staff", THIRD_SPACE),
            refusals.COPY_SERVES: store.drop_copy("staff", SPACE),
            refusals.COPY_INCOMPLETE: store.serve("staff", OTHER_SPACE),
        }
        for words, operation in refused.items():
            with pytest.raises(GatewayError, match=words):
                await operation
