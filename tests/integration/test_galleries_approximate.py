"""What every gallery store promises of an approximate search: measured, kept up, never passed off as exact."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from contract.vectors import Features
from service.errors import GallerySpaceMismatchError, GalleryTooSmallError, UnknownGalleryError
from service.galleries.base import GalleryStore
from service.galleries.values import Face, Found, Ranking, Where
from tests.integration.gallery_copies import complete
from tests.integration.gallery_stores import OTHER_SPACE, SPACE, Stores, approximated, faces_of, native, unit_features

ROWS = 1000
PER_SUBJECT = 4
FACES, FEATURES = faces_of(ROWS, PER_SUBJECT), unit_features(ROWS)
PROBES = unit_features(70, seed=1)  # more than one scan of the embedded store
pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(stores: Stores) -> AsyncIterator[GalleryStore]:
    """A store with the gallery `staff` of FACES."""
    async with stores.open() as opened:
        await enrol(opened)
        yield opened


async def enrol(store: GalleryStore) -> None:
    await store.create("staff", SPACE)
    await store.upsert("staff", FACES, native(FEATURES))


async def search(
    store: GalleryStore, probes: Features = PROBES, top_k: int = 10, ranking: Ranking = Ranking.FACES
) -> Found:
    return await store.search("staff", SPACE, probes, top_k, ranking=ranking, exact=False)


async def test_only_a_search_that_allows_for_it_is_approximate_and_it_says_so(store: GalleryStore) -> None:
    exact = await search(store)
    assert exact.exact
    assert (await store.info("staff")).copies[0].approximation is None
    measured = await approximated(store)
    assert (await store.info("staff")).copies[0].approximation == measured
    assert await approximated(store) == measured  # what is there stays as it is
    for ranking in (Ranking.FACES, Ranking.SUBJECTS_BY_BEST):
        found = await search(store, ranking=ranking)
        assert (found.exact, found.searched, len(found.matches)) == (False, ROWS, len(PROBES))
    assert await store.search("staff", SPACE, PROBES, 10) == exact
    assert (await search(store, ranking=Ranking.SUBJECTS_BY_MEAN)).exact
    filtered = await store.search("staff", SPACE, PROBES, 10, where=Where(until_ms=1), exact=False)
    assert filtered == exact
    for _ in range(2):
        await store.exactly("staff", SPACE)
        assert await search(store) == exact
        assert (await store.info("staff")).copies[0].approximation is None


async def test_the_recall_is_that_of_the_answers_against_a_float64_scan(store: GalleryStore) -> None:
    measured = await approximated(store)
    assert (measured.faces, measured.probes) == (ROWS, ROWS)
    similarities = FEATURES.astype(np.float64) @ FEATURES.astype(np.float64).T
    np.fill_diagonal(similarities, -np.inf)  # a probe's own face is not sought
    nearest = np.argsort(-similarities, axis=1)[:, :10]
    found = await search(store, FEATURES, 11)
    first = all_ten = 0
    for row, matches in enumerate(found.matches):
        wanted = [FACES[other].face_id for other in nearest[row]]
        others = [match.face_id for match in matches if match.face_id != FACES[row].face_id][:10]
        first += others[0] == wanted[0]
        all_ten += len(set(others) & set(wanted))
    assert measured.recall_at_1 == pytest.approx(first / ROWS, abs=5e-3)  # Redis keeps half precision
    assert measured.recall_at_10 == pytest.approx(all_ten / ROWS / 10, abs=5e-3)
    assert measured.recall_at_10 > 0.9


async def test_where_all_faces_are_candidates_the_answer_is_the_exact_one(store: GalleryStore) -> None:
    await approximated(store)
    for subject in range(50, ROWS // PER_SUBJECT):
        await store.delete_subject("staff", f"subject-{subject:06d}")
    for ranking in (Ranking.FACES, Ranking.SUBJECTS_BY_BEST):
        found = await search(store, ranking=ranking)
        exact = await store.search("staff", SPACE, PROBES, 10, ranking=ranking)
        assert (found.matches, found.searched) == (exact.matches, 50 * PER_SUBJECT)
        assert not found.exact


async def test_enrolled_replaced_and_deleted_faces_are_kept_up(store: GalleryStore) -> None:
    await approximated(store)
    changed = unit_features(40, seed=2)
    faces = [*FACES[:20], *(Face(f"new-{row}", "somebody") for row in range(20))]
    await store.upsert("staff", faces, native(changed))
    await store.delete_face("staff", FACES[500].face_id)
    found = await search(store, changed, 1)
    assert [match.face_id for [match] in found.matches] == [face.face_id for face in faces]
    gone = await search(store, np.concatenate([FEATURES[:20], FEATURES[500:501]]), 1)
    assert all(match.similarity < 0.99 for [match] in gone.matches)
    assert (gone.searched, gone.exact) == (ROWS + 19, False)


async def test_a_restart_keeps_it(stores: Stores) -> None:
    async with stores.open() as store:
        await enrol(store)
        measured = await approximated(store)
        before = await search(store)
    async with stores.open() as store:
        assert (await store.info("staff")).copies[0].approximation == measured
        found = await search(store)
        assert not found.exact
        assert [[match.face_id for match in matches] for matches in found.matches] == [
            [match.face_id for match in matches] for matches in before.matches
        ]
        await store.exactly("staff", SPACE)
    async with stores.open() as store:
        assert (await search(store)).exact


async def test_it_is_its_copys_and_a_cut_over_searches_exactly(store: GalleryStore) -> None:
    measured = await approximated(store)
    await store.add_copy("staff", OTHER_SPACE)
    await complete(store, ROWS)
    await store.serve("staff", OTHER_SPACE)
    assert [copy.approximation for copy in (await store.info("staff")).copies] == [None, measured]
    assert (await store.search("staff", OTHER_SPACE, PROBES, 10, exact=False)).exact
    assert not (await search(store)).exact
    assert (await approximated(store, space=OTHER_SPACE)).faces == ROWS
    assert not (await store.search("staff", OTHER_SPACE, PROBES, 10, exact=False)).exact
    await store.drop_copy("staff", SPACE)
    await store.add_copy("staff", SPACE)
    assert (await store.info("staff")).copies[1].approximation is None
    assert (await search(store)).exact


async def test_it_goes_with_its_gallery(store: GalleryStore) -> None:
    await approximated(store)
    await store.drop("staff")
    await enrol(store)
    assert (await store.info("staff")).copies[0].approximation is None
    assert (await search(store)).exact


async def test_a_subject_far_away_is_found_behind_another_ones_many_faces(store: GalleryStore) -> None:
    near = unit_features(1) + 0.01 * unit_features(ROWS, seed=3)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    await store.create("crowd", SPACE)
    faces = [Face(f"face-{row:04d}", "many") for row in range(ROWS)]
    await store.upsert("crowd", faces, native(near.astype(np.float32)))
    await store.upsert("crowd", [Face("other", "one")], native(-unit_features(1)))
    await approximated(store, "crowd")
    ranking = Ranking.SUBJECTS_BY_BEST
    [matches] = (await store.search("crowd", SPACE, unit_features(1), 2, ranking=ranking, exact=False)).matches
    assert [match.subject for match in matches] == ["many", "one"]


async def test_what_cannot_be_approximated_is_refused(store: GalleryStore) -> None:
    await store.delete_face("staff", FACES[0].face_id)
    with pytest.raises(GalleryTooSmallError):
        await approximated(store)
    for change in (store.approximate, store.exactly):
        with pytest.raises(GallerySpaceMismatchError):
            await change("staff", OTHER_SPACE)
        with pytest.raises(UnknownGalleryError):
            await change("nobody", SPACE)
    assert (await search(store)).exact
