"""A plan's sample is of what has to be translated, of each origin, and from all over the gallery, by bounded reads."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from contract.spaces import FeatureSpace
from contract.vectors import Features, l2_normalize
from service.galleries.local import LocalGalleries
from service.galleries.values import Face, Original, Rendition
from service.migration.sampling import PLACES_MAX, READ_FACES_MAX, SAMPLE_FACES_MAX, sample
from tests.unit.service.migration.migrations import NEW, OLD, THIRD
from tests.unit.service.world import features

pytestmark = pytest.mark.anyio
GALLERY = "staff"
NATIVE_FIRST = 600  # more than a sample has


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalGalleries]:
    """A gallery of OLD without faces."""
    store = LocalGalleries.open(tmp_path, faces_max=10_000, galleries_max=1)
    await store.create(GALLERY, OLD)
    yield store
    await store.close()


async def enrol(store: LocalGalleries, space: FeatureSpace, prefix: str, count: int, seed: int) -> None:
    """Enrol faces natively of a space, translated where that is not the gallery's."""
    faces = [Face(f"{prefix}{row:05d}", f"{prefix}{row}") for row in range(count)]
    translated = [] if space == OLD else [Rendition(OLD, unit(count, OLD.dim, seed), "x@1")]
    await store.upsert(GALLERY, faces, Rendition(space, unit(count, space.dim, seed + 1)), translated)


def unit(rows: int, dim: int, seed: int) -> Features:
    return l2_normalize(features(rows, dim, seed))


async def test_faces_that_are_native_to_the_target_and_first_by_id_leave_room_for_the_others(
    store: LocalGalleries,
) -> None:
    await enrol(store, NEW, "a", NATIVE_FIRST, 1)
    await enrol(store, OLD, "z", 300, 2)
    chosen = await sample(store, await store.info(GALLERY), NEW)
    assert {origin: len(faces) for origin, faces in chosen.items()} == {OLD.id: 300}


async def test_of_a_gallery_that_is_read_whole_each_origin_gets_its_part_evenly(store: LocalGalleries) -> None:
    await enrol(store, OLD, "a", 1000, 1)
    await enrol(store, THIRD, "b", 7, 2)
    chosen = await sample(store, await store.info(GALLERY), NEW)
    assert len(chosen[THIRD.id]) == 7
    assert [original.face.face_id for original in chosen[OLD.id]] == [f"a{row:05d}" for row in range(0, 1000, 4)]


async def test_a_larger_gallery_is_read_at_many_places_and_no_more_of_it_than_is_allowed(
    store: LocalGalleries, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enrol(store, NEW, "a", NATIVE_FIRST, 1)
    await enrol(store, OLD, "z", 5000, 2)
    reads: list[int] = []
    originals = store.originals

    async def counted(gallery: str, after: str | None, limit: int) -> Sequence[Original]:
        reads.append(limit)
        return await originals(gallery, after, limit)

    monkeypatch.setattr(store, "originals", counted)
    chosen = await sample(store, await store.info(GALLERY), NEW)
    assert set(chosen) == {OLD.id}
    assert SAMPLE_FACES_MAX / 2 < len(chosen[OLD.id]) <= SAMPLE_FACES_MAX
    tenths = {int(original.face.face_id[1:]) // 500 for original in chosen[OLD.id]}
    assert tenths == set(range(10))
    assert len(reads) <= PLACES_MAX
    assert sum(reads) <= READ_FACES_MAX


async def test_of_a_gallery_without_anything_to_translate_there_is_no_sample(store: LocalGalleries) -> None:
    assert await sample(store, await store.info(GALLERY), NEW) == {}
    await enrol(store, NEW, "a", 3, 1)
    assert await sample(store, await store.info(GALLERY), NEW) == {}
