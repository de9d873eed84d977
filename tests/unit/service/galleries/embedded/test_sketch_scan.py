"""Search by sketches against the plainest reference: numpy's own singular vectors, all candidates sorted."""

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.spaces import FeatureSpace
from contract.vectors import Features, l2_normalize
from service.galleries.embedded.columns import BLOCK_ROWS
from service.galleries.embedded.sketch_scan import CANDIDATES_MIN, nearest_by_sketch, principal_directions
from service.galleries.local import LocalGalleries
from service.galleries.values import Face, Found, Ranking, Rendition
from tests.unit.service.galleries.embedded.galleries_in_memory import DIM, SmallGallery, unit_features

SIZES = [1, 3, CANDIDATES_MIN, CANDIDATES_MIN + 1, BLOCK_ROWS + 1, 2 * BLOCK_ROWS + 77]


def uneven_features(rows: int, seed: int = 0) -> Features:
    """Unit-length features [rows, DIM] with most of their energy in few directions, as those of faces have."""
    spectrum = 1 / np.sqrt(np.arange(1, DIM + 1))
    return l2_normalize((unit_features(rows, seed=seed) * spectrum).astype(np.float32))


def reference_directions(features: Features) -> NDArray[np.float64]:
    """The strongest half of the directions [d/2, d] of features [N, d]."""
    _, _, directions = np.linalg.svd(features.astype(np.float64), full_matrices=False)
    strongest: NDArray[np.float64] = directions[: features.shape[1] // 2]
    return strongest


def reference(features: Features, probe: Features, top_k: int, left_out: int | None = None) -> list[int]:
    """The rows of the top_k among the CANDIDATES_MIN faces with the most similar sketches."""
    directions = reference_directions(features)
    sketched = (features.astype(np.float64) @ directions.T) @ (directions @ probe.astype(np.float64))
    candidates = np.argsort(-sketched)[:CANDIDATES_MIN]
    similarities = features[candidates].astype(np.float64) @ probe.astype(np.float64)
    ranked = candidates[np.argsort(-similarities)].tolist()
    return [row for row in ranked if row != left_out][:top_k]


def ranked(found: Found | None) -> list[list[tuple[float, str]]]:
    assert found is not None
    return [[(match.similarity, match.face_id) for match in matches] for matches in found.matches]


def test_the_basis_is_the_strongest_half_of_the_directions_of_faces() -> None:
    features = uneven_features(500)
    basis, expected = principal_directions(features), reference_directions(features)
    np.testing.assert_allclose(np.abs(basis @ expected.T), np.eye(DIM // 2), atol=1e-4)
    assert principal_directions(unit_features(10, dim=1)).shape == (1, 1)
    assert principal_directions(unit_features(300, dim=200)).shape == (64, 200)


@pytest.mark.parametrize("rows", SIZES)
def test_the_most_similar_candidates_are_found_in_float64_order(rows: int) -> None:
    gallery, probes = SmallGallery(uneven_features(rows)), uneven_features(5, seed=1)
    copy, roster = gallery.filled()
    copy.keep_sketch(principal_directions(gallery.features))
    while copy.sketch_next():
        pass
    found = nearest_by_sketch(copy, roster, probes, 10, Ranking.FACES)
    expected = [reference(gallery.features, probe, 10) for probe in probes]
    assert ranked(found) == [
        [(gallery.similarity(row, probe), gallery.face_id(row)) for row in rows_found]
        for rows_found, probe in zip(expected, probes, strict=True)
    ]
    assert found is not None
    assert (found.searched, found.exact) == (rows, False)


@pytest.mark.parametrize("rows", [1, 300, 1200])
def test_where_all_faces_are_candidates_the_order_is_that_of_the_exact_scan(rows: int) -> None:
    gallery, probes = SmallGallery(unit_features(rows), 3), unit_features(3, seed=1)
    copy, roster = gallery.filled()
    copy.keep_sketch(principal_directions(gallery.features))
    while copy.sketch_next():
        pass
    faces = nearest_by_sketch(copy, roster, probes, 300, Ranking.FACES)
    assert ranked(faces) == [gallery.faces(probe, 300) for probe in probes]
    subjects = nearest_by_sketch(copy, roster, probes, 300, Ranking.SUBJECTS_BY_BEST)
    assert ranked(subjects) == [gallery.subjects_by(probe, 300, mean=False) for probe in probes]


def test_sketches_are_kept_up_as_features_come_change_and_go() -> None:
    gallery, probes = SmallGallery(uneven_features(BLOCK_ROWS + 10)), uneven_features(4, seed=1)
    copy, roster = gallery.filled()
    copy.keep_sketch(principal_directions(gallery.features))
    copy.sketch_next()
    copy.put(np.arange(BLOCK_ROWS, BLOCK_ROWS + 4), probes)  # in the block that has no sketch yet
    copy.sketch_next()
    assert not copy.sketch_next()
    copy.put(np.arange(4), probes)
    copy.remove(np.arange(BLOCK_ROWS, BLOCK_ROWS + 10))  # the whole block
    copy.remove(np.arange(100, 200))
    found = nearest_by_sketch(copy, roster, probes, 1, Ranking.FACES)
    assert [face_id for [(_, face_id)] in ranked(found)] == [gallery.face_id(slot) for slot in range(4)]
    copy.put(np.arange(BLOCK_ROWS, BLOCK_ROWS + 4), probes)  # a block that is new
    copy.remove(np.arange(4))
    found = nearest_by_sketch(copy, roster, probes, 1, Ranking.FACES)
    assert [face_id for [(_, face_id)] in ranked(found)] == [
        gallery.face_id(slot) for slot in range(BLOCK_ROWS, BLOCK_ROWS + 4)
    ]
    assert found is not None
    assert found.searched == BLOCK_ROWS - 100


def test_candidates_of_too_few_subjects_are_no_answer() -> None:
    copy, roster = SmallGallery(unit_features(600), faces_per_subject=600).filled()
    copy.keep_sketch(principal_directions(unit_features(600)))
    copy.sketch_next()
    assert nearest_by_sketch(copy, roster, unit_features(1), 2, Ranking.SUBJECTS_BY_BEST) is None


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_recall_that_a_store_states_is_that_of_the_reference(tmp_path: Path) -> None:
    space, features = FeatureSpace(id="space", dim=DIM), uneven_features(1000)
    store = LocalGalleries.open(tmp_path, faces_max=1000, galleries_max=1)
    await store.create("staff", space)
    await store.upsert("staff", [Face(f"{row}", f"{row}") for row in range(1000)], Rendition(space, features))
    before_ms = time.time_ns() // 1_000_000
    measured = await store.approximate("staff", space)
    assert before_ms <= measured.built_at_ms <= time.time_ns() // 1_000_000
    await store.close()
    similarities = features.astype(np.float64) @ features.astype(np.float64).T
    np.fill_diagonal(similarities, -np.inf)
    wanted = np.argsort(-similarities, axis=1)[:, :10].tolist()
    found = [reference(features, features[row], 10, left_out=row) for row in range(1000)]
    at_1 = sum(nearest[0] == some[0] for nearest, some in zip(wanted, found, strict=True)) / 1000
    at_10 = sum(len({*nearest} & {*some}) for nearest, some in zip(wanted, found, strict=True)) / 10_000
    assert measured.recall_at_1 == pytest.approx(at_1)
    assert measured.recall_at_10 == pytest.approx(at_10)
    assert 0.5 < at_10 < 1
