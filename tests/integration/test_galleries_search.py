"""What every gallery store promises of a search, asked of each: exact, ranked, filtered, ties in order."""

from collections.abc import AsyncIterator
from statistics import fmean

import numpy as np
import pytest

from contract.vectors import Features
from service.galleries.base import GalleryStore
from service.galleries.values import EVERYWHERE, Face, Match, Ranking, Where
from tests.integration.gallery_stores import (
    SPACE,
    Stores,
    faces_of,
    native,
    unit_features,
)

BATCH_FACES = 2000
TAG_SETS = ((), ("north",), ("north", "staff"))
FILTERS = [
    Where(tags=("north",)),
    Where(tags=("north", "staff"), from_ms=100),
    Where(from_ms=50, until_ms=170),
    Where(until_ms=1),
]
pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(stores: Stores) -> AsyncIterator[tuple[GalleryStore, float]]:
    """A store with an empty gallery `staff`, and how exact its similarities are."""
    async with stores.open() as opened:
        await opened.create("staff", SPACE)
        yield opened, stores.tolerance


async def _enrol(store: GalleryStore, faces: list[Face], features: Features) -> None:
    for start in range(0, len(faces), BATCH_FACES):
        rows = slice(start, start + BATCH_FACES)
        await store.upsert("staff", faces[rows], native(features[rows]))


def _tagged_faces(rows: int, faces_per_subject: int) -> list[Face]:
    plain = faces_of(rows, faces_per_subject)
    return [Face(face.face_id, face.subject, TAG_SETS[row % 3], row) for row, face in enumerate(plain)]


def _passes(face: Face, where: Where) -> bool:
    after = where.from_ms is None or face.enrolled_at_ms >= where.from_ms
    return (
        set(where.tags) <= set(face.tags) and after and (where.until_ms is None or face.enrolled_at_ms < where.until_ms)
    )


def _subject_similarities(
    faces: list[Face], similarities: list[float], ranking: Ranking, where: Where
) -> dict[str, float]:
    of_subject: dict[str, list[float]] = {}
    for face, similarity in zip(faces, similarities, strict=True):
        if _passes(face, where):
            of_subject.setdefault(face.subject, []).append(similarity)
    fuse = max if ranking is Ranking.SUBJECTS_BY_BEST else fmean
    return {subject: fuse(of_subject[subject]) for subject in of_subject}


def _check_subjects(matches: list[Match], expected: dict[str, float], top_k: int, tolerance: float) -> None:
    assert len({match.subject for match in matches}) == len(matches) == min(top_k, len(expected))
    best = sorted(expected.values(), reverse=True)[:top_k]
    assert [match.similarity for match in matches] == pytest.approx(best, abs=tolerance)
    assert [match.similarity for match in matches] == pytest.approx(
        [expected[match.subject] for match in matches], abs=tolerance
    )


async def test_search_is_as_exact_as_a_float64_scan(store: tuple[GalleryStore, float]) -> None:
    galleries, tolerance = store
    rows = 9700  # more than one block of the embedded store
    faces, features, probes = faces_of(rows), unit_features(rows), unit_features(70, seed=1)
    features[5000] = features[10]  # equal features far apart tie, whichever block they lie in
    features[rows - 1] = features[10]
    probes[0] = features[10]
    await _enrol(galleries, faces, features)
    found = await galleries.search("staff", SPACE, probes, 10)
    assert found.searched == rows
    similarities = probes.astype(np.float64) @ features.astype(np.float64).T  # [N, M]
    by_id = {face.face_id: row for row, face in enumerate(faces)}
    for probe, matches in enumerate(found.matches):
        expected = np.sort(similarities[probe])[::-1][:10]
        assert [match.similarity for match in matches] == pytest.approx(expected, abs=tolerance)
        own = similarities[probe, [by_id[match.face_id] for match in matches]]
        assert own == pytest.approx(expected, abs=tolerance)
        assert all(match.subject == faces[by_id[match.face_id]].subject for match in matches)
        assert matches == sorted(matches, key=lambda match: (-match.similarity, match.face_id))
    tied = sorted(faces[row].face_id for row in (10, 5000, rows - 1))
    assert [match.face_id for match in found.matches[0][:3]] == tied
    assert len({match.similarity for match in found.matches[0][:3]}) == 1


async def test_ties_for_the_last_place_go_to_the_lowest_face_ids(store: tuple[GalleryStore, float]) -> None:
    galleries, _ = store
    feature = unit_features(1)
    faces = [Face(f"face-{i:02d}", f"twin-{i:02d}") for i in (7, 3, 9, 1, 5, 0, 8, 2, 6, 4)]
    await _enrol(galleries, faces, np.repeat(feature, len(faces), axis=0))
    for ranking in Ranking:
        [matches] = (await galleries.search("staff", SPACE, feature, 4, ranking=ranking)).matches
        assert [match.face_id for match in matches] == ["face-00", "face-01", "face-02", "face-03"]


async def test_a_search_returns_no_more_than_there_is(store: tuple[GalleryStore, float]) -> None:
    galleries, _ = store
    probes = unit_features(3, seed=1)
    for ranking in Ranking:
        empty = await galleries.search("staff", SPACE, probes, 5, ranking=ranking)
        assert (empty.matches, empty.searched) == ([[], [], []], 0)
    await _enrol(galleries, faces_of(2), unit_features(2))
    for ranking in Ranking:
        found = await galleries.search("staff", SPACE, probes, 5, ranking=ranking)
        assert ([len(matches) for matches in found.matches], found.searched) == ([2, 2, 2], 2)


@pytest.mark.parametrize("where", [EVERYWHERE, *FILTERS])
@pytest.mark.parametrize("ranking", [Ranking.SUBJECTS_BY_BEST, Ranking.SUBJECTS_BY_MEAN])
async def test_subjects_are_ranked_by_those_of_their_faces_that_are_searched(
    store: tuple[GalleryStore, float], ranking: Ranking, where: Where
) -> None:
    galleries, tolerance = store
    faces, features, probes = _tagged_faces(300, 4), unit_features(300), unit_features(12, seed=1)
    await _enrol(galleries, faces, features)
    found = await galleries.search("staff", SPACE, probes, 10, ranking=ranking, where=where)
    assert found.searched == sum(_passes(face, where) for face in faces)
    similarities = probes.astype(np.float64) @ features.astype(np.float64).T  # [N, M]
    for probe, matches in enumerate(found.matches):
        expected = _subject_similarities(faces, similarities[probe].tolist(), ranking, where)
        _check_subjects(matches, expected, 10, tolerance)
        own = dict(zip([face.face_id for face in faces], similarities[probe].tolist(), strict=True))
        for match in matches:  # the face shown is the subject's best
            best = max(own[f.face_id] for f in faces if f.subject == match.subject and _passes(f, where))
            assert own[match.face_id] == pytest.approx(best, abs=tolerance)


@pytest.mark.parametrize("where", FILTERS)
async def test_only_faces_with_all_tags_in_the_time_are_searched(
    store: tuple[GalleryStore, float], where: Where
) -> None:
    galleries, _ = store
    faces = _tagged_faces(300, 4)
    await _enrol(galleries, faces, unit_features(300))
    found = await galleries.search("staff", SPACE, unit_features(2, seed=1), 300, where=where)
    passing = {face.face_id for face in faces if _passes(face, where)}
    assert [{match.face_id for match in matches} for matches in found.matches] == [passing, passing]
    assert found.searched == len(passing) > 0


async def test_few_subjects_with_many_faces_are_all_found(store: tuple[GalleryStore, float]) -> None:
    galleries, tolerance = store
    faces, features = faces_of(3000, faces_per_subject=1000), unit_features(3000)
    await _enrol(galleries, faces, features)
    probe = unit_features(1, seed=1)
    similarities = (features.astype(np.float64) @ probe[0].astype(np.float64)).tolist()
    for ranking in (Ranking.SUBJECTS_BY_BEST, Ranking.SUBJECTS_BY_MEAN):
        [matches] = (await galleries.search("staff", SPACE, probe, 10, ranking=ranking)).matches
        _check_subjects(matches, _subject_similarities(faces, similarities, ranking, EVERYWHERE), 10, tolerance)


@pytest.mark.parametrize("ranking", [Ranking.SUBJECTS_BY_BEST, Ranking.SUBJECTS_BY_MEAN])
async def test_subjects_of_many_faces_are_ranked_as_a_float64_scan_ranks_them(
    store: tuple[GalleryStore, float], ranking: Ranking
) -> None:
    galleries, tolerance = store
    rows = 9700  # more than one block of the embedded store, and more than the other ranks at once
    faces, features, probes = _tagged_faces(rows, 3), unit_features(rows), unit_features(4, seed=1)
    await _enrol(galleries, faces, features)
    similarities = probes.astype(np.float64) @ features.astype(np.float64).T  # [N, M]
    for where in (EVERYWHERE, Where(from_ms=100)):
        found = await galleries.search("staff", SPACE, probes, 10, ranking=ranking, where=where)
        for probe, matches in enumerate(found.matches):
            expected = _subject_similarities(faces, similarities[probe].tolist(), ranking, where)
            _check_subjects(matches, expected, 10, tolerance)


async def test_a_replaced_face_is_found_by_its_new_tags_and_time_alone(store: tuple[GalleryStore, float]) -> None:
    galleries, _ = store
    before, after = Where(tags=("old",), until_ms=10), Where(tags=("new",), from_ms=10)
    await _enrol(galleries, [Face("a", "ada", ("old",), 1)], unit_features(1))
    await _enrol(galleries, [Face("a", "ada", ("new",), 10)], unit_features(1))
    assert (await galleries.search("staff", SPACE, unit_features(1), 5, where=before)).matches == [[]]
    [[match]] = (await galleries.search("staff", SPACE, unit_features(1), 5, where=after)).matches
    assert match.face_id == "a"
