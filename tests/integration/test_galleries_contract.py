"""What every gallery store promises, asked of each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contract.spaces import FeatureSpace
from deploy.redis.start import RedisServer
from service.errors import (
    GalleryLimitError,
    GallerySpaceMismatchError,
    UnknownFaceError,
    UnknownGalleryError,
    UnknownSubjectError,
)
from service.galleries.base import Face, GalleryInfo, GalleryStore
from service.galleries.matrix import BLOCK_ROWS
from tests.integration.gallery_stores import (
    FACES_MAX,
    OTHER_SPACE,
    SPACE,
    LocalStores,
    RedisStores,
    Stores,
    faces_of,
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


async def _enrolled(store: GalleryStore, gallery: str) -> dict[str, Face]:
    return {face.face_id: face async for batch, _ in store.faces(gallery) for face in batch}


async def test_a_gallery_is_created_once_described_listed_and_dropped(stores: Stores) -> None:
    async with stores.open() as store:
        assert await store.list() == []
        assert await store.create("visitors", SPACE) is True
        assert await store.create("visitors", SPACE) is False
        assert await store.create("staff", SPACE) is True
        assert await store.info("visitors") == GalleryInfo("visitors", SPACE, 0, 0)
        assert [info.name for info in await store.list()] == ["staff", "visitors"]
        await store.drop("visitors")
        assert [info.name for info in await store.list()] == ["staff"]
        with pytest.raises(UnknownGalleryError):
            await store.drop("visitors")


async def test_a_gallery_holds_one_space_and_takes_another_only_after_it_was_dropped(stores: Stores) -> None:
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces_of(5), unit_features(5))
        for other in (OTHER_SPACE, FeatureSpace(id=SPACE.id, dim=8)):
            with pytest.raises(GallerySpaceMismatchError):
                await store.create("staff", other)
        with pytest.raises(GallerySpaceMismatchError):
            await store.upsert("staff", faces_of(2), unit_features(2, dim=8))
        with pytest.raises(GallerySpaceMismatchError):
            await store.search("staff", unit_features(2, dim=8), 1)
        with pytest.raises(GallerySpaceMismatchError):
            await store.upsert("staff", faces_of(2), unit_features(2), OTHER_SPACE)
        with pytest.raises(GallerySpaceMismatchError):
            await store.search("staff", unit_features(2), 1, OTHER_SPACE)
        assert len(await store.search("staff", unit_features(2), 1, SPACE)) == 2
        await store.drop("staff")
        assert await store.create("staff", FeatureSpace(id="other-8", dim=8)) is True
        assert await store.search("staff", unit_features(1, dim=8), 5) == [[]]
        assert (await store.info("staff")).faces == 0


async def test_faces_are_added_replaced_read_and_counted_by_subject(stores: Stores) -> None:
    features = unit_features(3)
    native = Face("a:1", "subject@x")
    derived = Face("b+2", "subject=y", derived_from="source-24", translator="source-24--space-16@1")
    async with stores.open() as store:
        await store.create("staff", SPACE)
        assert await store.upsert("staff", [native, derived], features[:2]) == 2
        assert await store.get("staff", "a:1") == native
        assert await store.get("staff", "b+2") == derived
        assert await store.info("staff") == GalleryInfo("staff", SPACE, 2, 2)
        moved = Face("b+2", "subject@x")
        assert await store.upsert("staff", [moved, Face("c", "subject@x")], features[1:]) == 1
        assert await store.get("staff", "b+2") == moved
        assert await store.info("staff") == GalleryInfo("staff", SPACE, 3, 1)
        [[best]] = await store.search("staff", features[1:2], 1)
        assert (best.face_id, best.subject) == ("b+2", "subject@x")
        assert best.similarity == pytest.approx(1.0, abs=stores.tolerance)


async def test_deleting_a_face_or_a_subject_takes_it_out_of_search_counts_and_stream(stores: Stores) -> None:
    faces, features = faces_of(30, faces_per_subject=3), unit_features(30)
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, features)
        await store.delete_face("staff", faces[0].face_id)
        assert await store.delete_subject("staff", faces[5].subject) == 3
        left = {face.face_id: face for face in faces[1:3] + faces[6:]}
        assert await store.info("staff") == GalleryInfo("staff", SPACE, 26, 9)
        assert await _enrolled(store, "staff") == left
        found = await store.search("staff", features, 30)
        assert all({match.face_id for match in matches} == set(left) for matches in found)
        with pytest.raises(UnknownFaceError):
            await store.get("staff", faces[0].face_id)
        with pytest.raises(UnknownFaceError):
            await store.delete_face("staff", faces[0].face_id)
        with pytest.raises(UnknownSubjectError):
            await store.delete_subject("staff", faces[5].subject)


async def test_ids_differ_by_case_and_by_every_sign_of_their_grammar(stores: Stores) -> None:
    ids = ["a", "A", "a.b", "a-b", "a_b", "a:b", "a@b", "a=b", "a+b", "a" * 128]
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", [Face(i, i) for i in ids], unit_features(len(ids)))
        for position, subject in enumerate(ids, start=1):
            assert await store.delete_subject("staff", subject) == 1
            assert await store.info("staff") == GalleryInfo("staff", SPACE, len(ids) - position, len(ids) - position)


async def test_an_upsert_beyond_the_bound_changes_nothing(stores: Stores) -> None:
    async with stores.open() as store:
        await store.create("staff", SPACE)
        for start in range(0, FACES_MAX - 1, 5000):
            rows = min(5000, FACES_MAX - 1 - start)
            await store.upsert("staff", [Face(f"f{start + i}", "s") for i in range(rows)], unit_features(rows))
        with pytest.raises(GalleryLimitError):
            await store.upsert("staff", [Face("f0", "t"), Face("new-1", "t"), Face("new-2", "t")], unit_features(3))
        assert await store.info("staff") == GalleryInfo("staff", SPACE, FACES_MAX - 1, 1)
        assert (await store.get("staff", "f0")).subject == "s"
        assert await store.upsert("staff", [Face("f0", "t"), Face("new-1", "t")], unit_features(2)) == 1


async def test_the_number_of_galleries_is_bounded(stores: Stores) -> None:
    async with stores.open() as store:
        for name in ("a", "b", "c"):
            await store.create(name, SPACE)
        with pytest.raises(GalleryLimitError):
            await store.create("d", SPACE)
        assert await store.create("c", SPACE) is False
        await store.drop("a")
        assert await store.create("d", SPACE) is True


async def test_search_is_as_exact_as_a_float64_scan(stores: Stores) -> None:
    rows = BLOCK_ROWS + 1500  # more than one block
    faces, features, probes = faces_of(rows), unit_features(rows), unit_features(70, seed=1)
    features[5000] = features[10]  # equal features far apart tie, whichever block they lie in
    features[rows - 1] = features[10]
    probes[0] = features[10]
    async with stores.open() as store:
        await store.create("staff", SPACE)
        for start in range(0, rows, 2000):
            await store.upsert("staff", faces[start : start + 2000], features[start : start + 2000])
        found = await store.search("staff", probes, 10)
    similarities = probes.astype(np.float64) @ features.astype(np.float64).T  # [N, M]
    by_id = {face.face_id: row for row, face in enumerate(faces)}
    for probe, matches in enumerate(found):
        expected = np.sort(similarities[probe])[::-1][:10]
        assert [match.similarity for match in matches] == pytest.approx(expected, abs=stores.tolerance)
        own = similarities[probe, [by_id[match.face_id] for match in matches]]
        assert own == pytest.approx(expected, abs=stores.tolerance)
        assert all(match.subject == faces[by_id[match.face_id]].subject for match in matches)
        assert matches == sorted(matches, key=lambda match: (-match.similarity, match.face_id))
    tied = sorted(faces[row].face_id for row in (10, 5000, rows - 1))
    assert [match.face_id for match in found[0][:3]] == tied
    assert len({match.similarity for match in found[0][:3]}) == 1


async def test_ties_for_the_last_place_go_to_the_lowest_face_ids(stores: Stores) -> None:
    feature = unit_features(1)
    faces = [Face(f"face-{i:02d}", "twin") for i in (7, 3, 9, 1, 5, 0, 8, 2, 6, 4)]
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, np.repeat(feature, len(faces), axis=0))
        [matches] = await store.search("staff", feature, 4)
    assert [match.face_id for match in matches] == ["face-00", "face-01", "face-02", "face-03"]


async def test_a_search_returns_no_more_than_there_is(stores: Stores) -> None:
    probes = unit_features(3, seed=1)
    async with stores.open() as store:
        await store.create("staff", SPACE)
        assert await store.search("staff", probes, 5) == [[], [], []]
        await store.upsert("staff", faces_of(2), unit_features(2))
        assert [len(matches) for matches in await store.search("staff", probes, 5)] == [2, 2, 2]


async def test_the_stream_gives_every_face_once_in_order_with_its_feature(stores: Stores) -> None:
    rows = 2500
    faces, features = faces_of(rows), unit_features(rows)
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, features)
        batches = [batch async for batch in store.faces("staff")]
    assert max(len(batch) for batch, _ in batches) <= 1000
    order = sorted(range(rows), key=lambda row: faces[row].face_id)
    assert [face for batch, _ in batches for face in batch] == [faces[row] for row in order]
    streamed = np.concatenate([features for _, features in batches])
    assert streamed.dtype == np.float32
    np.testing.assert_allclose(streamed, features[order], atol=stores.tolerance)
    np.testing.assert_allclose(np.linalg.norm(streamed, axis=1), 1.0, atol=1e-6)


async def test_a_face_deleted_while_streaming_is_left_out(stores: Stores) -> None:
    faces = faces_of(1500)
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, unit_features(1500))
        stream = store.faces("staff")
        first, _ = await anext(stream)
        await store.delete_face("staff", "face-001200")
        rest = [face.face_id async for batch, _ in stream for face in batch]
    assert len(first) == 1000
    assert len(rest) == 499
    assert "face-001200" not in rest


async def test_everything_is_there_after_closing_and_opening_again(stores: Stores) -> None:
    faces, features = faces_of(1500, faces_per_subject=2), unit_features(1500)
    faces[3] = Face(faces[3].face_id, faces[3].subject, derived_from="source-24", translator="t@2")
    async with stores.open() as store:
        await store.create("staff", SPACE)
        await store.create("visitors", OTHER_SPACE)
        await store.upsert("staff", faces, features)
        await store.upsert("staff", [Face(faces[1].face_id, "moved")], features[:1])
        await store.delete_face("staff", faces[2].face_id)
        before = await store.list(), await _enrolled(store, "staff"), await store.search("staff", features[:20], 5)
    async with stores.open() as store:
        after = await store.list(), await _enrolled(store, "staff"), await store.search("staff", features[:20], 5)
    assert after == before
    assert before[1][faces[3].face_id] == faces[3]
    assert len(before[1]) == 1499


async def test_every_operation_names_an_unknown_gallery(stores: Stores) -> None:
    async with stores.open() as store:
        operations = [
            store.info("nowhere"),
            store.drop("nowhere"),
            store.upsert("nowhere", faces_of(1), unit_features(1)),
            store.get("nowhere", "a"),
            store.delete_face("nowhere", "a"),
            store.delete_subject("nowhere", "a"),
            store.search("nowhere", unit_features(1), 1),
            anext(store.faces("nowhere")),
        ]
        for operation in operations:
            with pytest.raises(UnknownGalleryError):
                await operation


async def test_a_store_is_ready_until_it_is_closed(stores: Stores) -> None:
    async with stores.open() as store:
        assert await store.ready()
        await store.close()
        await store.close()
