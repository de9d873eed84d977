"""What every gallery store promises of galleries, faces and subjects, asked of each."""

import pytest

from contract.spaces import FeatureSpace
from service.errors import (
    CopiesChangedError,
    GalleryLimitError,
    GallerySpaceMismatchError,
    UnknownGalleryError,
)
from service.galleries.values import Face, Ranking, Where
from tests.integration.gallery_stores import (
    FACES_MAX,
    OTHER_SPACE,
    SPACE,
    Stores,
    all_originals,
    faces_of,
    info_of,
    native,
    unit_features,
)

pytestmark = pytest.mark.anyio


async def test_a_gallery_is_created_once_described_listed_and_dropped(stores: Stores) -> None:
    async with stores.open() as store:
        assert (await store.list()).galleries == []
        assert await store.create("visitors", SPACE) is True
        assert await store.create("visitors", SPACE) is False
        assert await store.create("staff", SPACE) is True
        assert await store.info("visitors") == info_of("visitors", 0, 0)
        assert [info.name for info in (await store.list()).galleries] == ["staff", "visitors"]
        await store.drop("visitors")
        assert [info.name for info in (await store.list()).galleries] == ["staff"]
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


async def test_a_gallery_keeps_its_incarnation_until_it_is_dropped(stores: Stores) -> None:
    async with stores.open() as store:
        await store.create("staff", SPACE)
        first = (await store.info("staff")).incarnation
        await store.add_copy("staff", OTHER_SPACE)
        await store.serve("staff", OTHER_SPACE)
        await store.drop_copy("staff", SPACE)
        assert (await store.info("staff")).incarnation == first != ""
    async with stores.open() as store:
        assert (await store.list()).galleries[0].incarnation == first
        await store.drop("staff")
        await store.create("staff", OTHER_SPACE)
        assert (await store.info("staff")).incarnation != first


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
        assert await store.upsert("staff", faces[:2], native(unit_features(2))) == [False, True]


async def test_the_number_of_galleries_is_bounded(stores: Stores) -> None:
    async with stores.open() as store:
        for name in ("a", "b", "c"):
            await store.create(name, SPACE)
        with pytest.raises(GalleryLimitError):
            await store.create("d", SPACE)
        assert await store.create("c", SPACE) is False
        await store.drop("a")
        assert await store.create("d", SPACE) is True


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
        assert await store.upsert("staff", [Face("later", "somebody")], native(features[:1])) == [True]
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
