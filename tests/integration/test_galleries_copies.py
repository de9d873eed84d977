"""What every gallery store promises of copies, claims, notes and counts, asked of each."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contract.spaces import FeatureSpace
from contract.vectors import Features
from deploy.redis.start import RedisServer
from service.errors import (
    CopiesChangedError,
    CopyExistsError,
    CopyIncompleteError,
    CopyServesError,
    GalleryLimitError,
    GallerySpaceMismatchError,
    UnknownFaceError,
    UnknownGalleryError,
)
from service.galleries.base import Claim, Copy, Face, GalleryStore, HeldRendition, Rendition
from tests.integration.gallery_stores import (
    OTHER_SPACE,
    SPACE,
    LocalStores,
    RedisStores,
    Stores,
    faces_of,
    unit_features,
)

THIRD_SPACE = FeatureSpace(id="third-8", dim=8)
TRANSLATOR = "space-16--other-16@3"
LONG_MS = 3_600_000
PATIENCE_S = 60
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


def translated(features: Features, space: FeatureSpace = OTHER_SPACE) -> Rendition:
    """What a translator into `space` might answer."""
    rendition = np.ascontiguousarray(features[:, ::-1][:, : space.dim])
    rendition /= np.linalg.norm(rendition, axis=1, keepdims=True)
    confidence = np.linspace(0.5, 1.0, len(features), dtype=np.float32)
    return Rendition(space, rendition, TRANSLATOR, confidence)


async def enrolled(store: GalleryStore, rows: int, faces_per_subject: int = 1) -> tuple[list[Face], Features]:
    """Make the gallery `staff` in SPACE with so many native faces."""
    faces, features = faces_of(rows, faces_per_subject), unit_features(rows)
    await store.create("staff", SPACE)
    await store.upsert("staff", faces, Rendition(SPACE, features))
    return faces, features


async def translate(store: GalleryStore, claim: Claim, space: FeatureSpace = OTHER_SPACE) -> int:
    """Fill a claim as a worker does."""
    features = np.stack([original.feature for original in claim.originals])
    return await store.fill("staff", claim, [translated(features, space)])


async def complete(store: GalleryStore, limit: int = 100, space: FeatureSpace = OTHER_SPACE) -> int:
    """Fill all of a copy that is missing; returns how many faces were written."""
    written = 0
    while claim := await store.claim("staff", space, limit, LONG_MS):
        written += await translate(store, claim, space)
    return written


def ids(claim: Claim | None) -> list[str]:
    return [] if claim is None else [original.face.face_id for original in claim.originals]


async def copies(store: GalleryStore) -> dict[str, int]:
    return {copy.space.id: copy.faces for copy in (await store.info("staff")).copies}


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


async def test_enrolment_goes_into_every_copy_for_which_something_is_given(stores: Stores) -> None:
    features = unit_features(3)
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.add_copy("staff", OTHER_SPACE)
        both = translated(features)
        assert await store.upsert("staff", faces_of(3), Rendition(SPACE, features), [both]) == 3
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
        for original, renditions in ((other, []), (native, [other]), (wider, []), (wider, [native])):
            with pytest.raises(CopiesChangedError):
                await store.upsert("staff", one, original, renditions)
        assert await copies(store) == {SPACE.id: 5}
        with pytest.raises(UnknownFaceError):
            await store.get("staff", "new")


async def test_a_replaced_face_keeps_what_is_not_given_unless_its_subject_changes(stores: Stores) -> None:
    async with stores.open() as store:
        faces, _ = await enrolled(store, 3)
        await store.add_copy("staff", OTHER_SPACE)
        await complete(store)
        moved = Face(faces[1].face_id, "somebody-else")
        await store.upsert("staff", [faces[0], moved], Rendition(SPACE, unit_features(2, seed=7)))
        assert await copies(store) == {SPACE.id: 3, OTHER_SPACE.id: 2}
        kept = await store.get("staff", faces[0].face_id)
        assert [held.translator for held in kept.held] == [TRANSLATOR, None]
        assert [held.space for held in (await store.get("staff", moved.face_id)).held] == [SPACE.id]
        assert ids(await store.claim("staff", OTHER_SPACE, 10, LONG_MS)) == [moved.face_id]


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
            assert info.copies == (Copy(serving, 60), Copy(other, 60))
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


async def test_a_note_is_kept_only_over_what_its_writer_knew(stores: Stores) -> None:
    async with stores.open() as store:
        assert await store.noted("job") is None
        assert await store.note("job", "{}", "before") is False
        assert await store.note("job", "one", None) is True
        assert await store.note("job", "two", None) is False
        outcomes = await asyncio.gather(*(store.note("job", f"two-{i}", "one") for i in range(10)))
        assert outcomes.count(True) == 1
        assert await store.noted("job") == f"two-{outcomes.index(True)}"
        assert await store.note("empty", "", None) is True
        assert await store.note("empty", "full", "") is True
        before = await store.notes()
        assert set(before) == {"job", "empty"}
    async with stores.open() as store:
        assert await store.notes() == before


async def test_a_forgotten_note_takes_its_counts_along(stores: Stores) -> None:
    async with stores.open() as store:
        await store.note("job", "one", None)
        await store.tally("job", {"agreed": 2})
        await store.tally("other", {"agreed": 1})
        assert await store.note("job", None, "two") is False
        assert await store.note("job", None, "one") is True
        assert await store.notes() == {}
        assert await store.tallied("job") == {}
        assert await store.tallied("other") == {"agreed": 1}


async def test_notes_are_bounded(stores: Stores) -> None:
    async with stores.open() as store:
        assert await store.note("longest", "x" * 65_536, None) is True
        for text in ("x" * 65_537, "é" * 32_769):
            with pytest.raises(GalleryLimitError):
                await store.note("too-long", text, None)
        for number in range(999):
            assert await store.note(f"note-{number}", "x", None) is True
        with pytest.raises(GalleryLimitError):
            await store.note("one-too-many", "x", None)
        assert await store.note("note-0", "y", "x") is True
        assert await store.note("note-1", None, "x") is True
        assert await store.note("one-too-many", "x", None) is True


async def test_counts_add_up_whoever_counts(stores: Stores) -> None:
    async with stores.open() as store:
        assert await store.tallied("shadow") == {}
        await asyncio.gather(*(store.tally("shadow", {"agreed": 2, "moved": i}) for i in range(20)))
        await store.tally("shadow", {"agreed": 1})
        await store.tally("other", {"agreed": 5})
    async with stores.open() as store:
        assert await store.tallied("shadow") == {"agreed": 41, "moved": 190}
        assert await store.tallied("other") == {"agreed": 5}
