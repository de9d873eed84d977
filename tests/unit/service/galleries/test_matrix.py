"""The in-memory scan against the plainest reference: float64, all faces, sorted."""

import numpy as np
import pytest

from contract.vectors import Features, l2_normalize
from service.galleries.base import Face
from service.galleries.matrix import BLOCK_ROWS, FaceMatrix

DIM = 24


def unit_features(rows: int, dim: int = DIM, seed: int = 0) -> Features:
    return l2_normalize(np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32))


def matrix_of(features: Features) -> FaceMatrix:
    matrix = FaceMatrix(features.shape[1])
    matrix.put(
        [Face(f"face-{row * 7919 % len(features):06d}", f"subject-{row}") for row in range(len(features))], features
    )
    return matrix


def reference(features: Features, probe: Features, top_k: int) -> list[tuple[float, str]]:
    ids = [f"face-{row * 7919 % len(features):06d}" for row in range(len(features))]
    similarities = [float((feature.astype(np.float64) * probe).sum()) for feature in features]
    return sorted(zip(similarities, ids, strict=True), key=lambda found: (-found[0], found[1]))[:top_k]


@pytest.mark.parametrize("rows", [1, 3, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS + 77])
def test_the_order_is_that_of_a_float64_scan(rows: int) -> None:
    features, probes = unit_features(rows), unit_features(5, seed=1)
    for probe, matches in zip(probes, matrix_of(features).search(probes, 20), strict=True):
        assert [(match.similarity, match.face_id) for match in matches] == reference(features, probe, 20)


def test_near_equals_within_float32_rounding_are_ordered_exactly() -> None:
    generator = np.random.default_rng(0)
    base, dim = unit_features(1, dim=512), 512
    noise = generator.standard_normal((3000, dim), dtype=np.float32)
    features = l2_normalize(base + np.float32(3e-7) * noise)  # similarities differ by less than a float32 dot's error
    probe = unit_features(1, dim=dim, seed=2)
    [matches] = matrix_of(features).search(probe, 50)
    assert [(m.similarity, m.face_id) for m in matches] == reference(features, probe[0], 50)
    float32_order = np.argsort(-(features @ probe[0]), kind="stable")[:50]
    assert [m.subject for m in matches] != [f"subject-{row}" for row in float32_order], "the test proves nothing"


def test_equal_features_in_every_block_tie_by_face_id() -> None:
    features = np.tile(unit_features(1), (2 * BLOCK_ROWS + 5, 1))
    [matches] = matrix_of(features).search(features[:1], 3)
    assert [match.face_id for match in matches] == ["face-000000", "face-000001", "face-000002"]
    assert len({match.similarity for match in matches}) == 1


def test_a_similarity_never_exceeds_one() -> None:
    features = unit_features(500)
    found = matrix_of(features).search(np.concatenate([features[:32], -features[:32]]), 500)
    assert all(-1.0 <= match.similarity <= 1.0 for matches in found for match in matches)


def test_removing_in_any_order_leaves_the_rest_whole() -> None:
    rows = BLOCK_ROWS + 20
    features = unit_features(rows)
    matrix = matrix_of(features)
    gone = np.random.default_rng(0).permutation(rows)[: rows - 10]
    for row in gone:
        matrix.remove(f"face-{row * 7919 % rows:06d}")
    left = sorted(set(range(rows)) - set(gone.tolist()))
    assert (len(matrix), matrix.subjects) == (10, 10)
    for row in left:
        [[best]] = matrix.search(features[row : row + 1], 1)
        assert (best.face_id, best.subject) == (f"face-{row * 7919 % rows:06d}", f"subject-{row}")
    faces, kept = matrix.read(matrix.face_ids())
    assert [face.subject for face in faces] == [f"subject-{row}" for row in sorted(left, key=lambda r: r * 7919 % rows)]
    assert {row.tobytes() for row in kept} == {features[row].tobytes() for row in left}


def test_an_emptied_matrix_takes_faces_again() -> None:
    matrix = matrix_of(unit_features(2))
    for face_id in matrix.face_ids():
        matrix.remove(face_id)
    assert (len(matrix), matrix.subjects, matrix.search(unit_features(1), 5)) == (0, 0, [[]])
    matrix.put([Face("again", "somebody")], unit_features(1))
    assert [match.face_id for match in matrix.search(unit_features(1), 5)[0]] == ["again"]
