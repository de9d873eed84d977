"""Synthetic faces are the same in every process, and a tie is a right answer."""

import numpy as np
import pytest

from benchmarks.gallery_faces import (
    BATCH_FACES,
    Nearest,
    compare_all,
    faces_of_batch,
    features_of_batch,
    probes_of,
    row_of,
)

DIM = 16
FACES = 2 * BATCH_FACES


def _ignore(*_: int) -> None:
    """Nobody watches."""


def test_batches_are_repeatable_and_share_no_face() -> None:
    assert np.array_equal(features_of_batch(1, DIM), features_of_batch(1, DIM))
    assert not np.array_equal(features_of_batch(0, DIM), features_of_batch(1, DIM))
    assert [row_of(face.face_id) for face in faces_of_batch(1)] == list(range(BATCH_FACES, FACES))


def test_half_of_the_probes_show_somebody_and_half_are_strangers() -> None:
    probes = probes_of(100, FACES, dim := 256)
    assert np.allclose(np.linalg.norm(probes, axis=1), 1, atol=1e-6)
    gallery = np.concatenate([features_of_batch(batch, dim) for batch in range(2)])
    best = (probes @ gallery.T).max(axis=1)
    assert best[::2].min() > 0.5 > best[1::2].max()


@pytest.mark.parametrize("probes", [1, 2, 7])
def test_an_odd_number_of_probes_can_be_asked_for(probes: int) -> None:
    assert probes_of(probes, FACES, DIM).shape == (probes, DIM)


def test_the_nearest_face_of_any_batch_counts_as_found_and_another_does_not() -> None:
    probes = probes_of(20, FACES, DIM)
    gallery = np.concatenate([features_of_batch(batch, DIM) for batch in range(2)]).astype(np.float64)
    nearest = (probes.astype(np.float64) @ gallery.T).argmax(axis=1)
    assert len(np.unique(nearest // BATCH_FACES)) == 2, "both batches are looked at"
    assert compare_all(probes, nearest.tolist(), FACES, DIM, _ignore).recall == 1
    wrong = [-1, (int(nearest[1]) + 1) % FACES, *nearest[2:].tolist()]
    assert compare_all(probes, wrong, FACES, DIM, _ignore).recall == pytest.approx(18 / 20)


def test_a_face_as_near_as_the_nearest_is_a_right_answer() -> None:
    best = np.array([0.5, 0.7])
    assert Nearest(best=best, found=np.array([0.5, 0.6])).recall == pytest.approx(0.5)
