"""Faces of one request that look like one another under different subjects."""

import time

import numpy as np
import pytest

from contract.vectors import l2_normalize
from service.bounds import Deadline
from service.duplicates import BLOCK_ROWS, Duplicate, within_request
from service.errors import DeadlineExceededError
from service.galleries.values import Face
from tests.unit.service.world import soon


def test_a_row_is_a_duplicate_of_the_most_similar_row_before_of_another_subject() -> None:
    features = l2_normalize(np.float32([[1, 0], [1, 0.3], [1, 0.1], [0, 1], [1, 0]]))
    faces = [Face(f"f{row}", subject) for row, subject in enumerate("abacc")]
    found = within_request(faces, features, 0.9, soon())
    assert sorted(found) == [1, 2, 4]
    assert (found[1].face_id, found[1].subject) == ("f0", "a")
    assert (found[2].face_id, found[2].subject) == ("f1", "b")  # f0 is of its own subject
    assert found[4] == Duplicate(4, "f0", "a", 1.0)


def test_blocks_find_what_all_pairs_find() -> None:
    rows = 3 * BLOCK_ROWS + 7
    random = np.random.default_rng(0)
    features = l2_normalize(random.standard_normal((rows, 4), dtype=np.float32))
    subjects = random.integers(0, 20, rows)
    faces = [Face(f"f{row}", f"s{subject}") for row, subject in enumerate(subjects)]
    found = within_request(faces, features, 0.95, soon())
    similarities = features.astype(np.float64) @ features.T.astype(np.float64)
    comparable = (np.arange(rows) < np.arange(rows)[:, None]) & (subjects != subjects[:, None])
    similarities[~comparable] = -np.inf
    assert set(found) == set(np.flatnonzero(similarities.max(axis=1) >= 0.95))
    for row, duplicate in found.items():
        assert duplicate.similarity == pytest.approx(similarities[row].max(), abs=1e-5)


def test_a_passed_deadline_ends_the_comparison() -> None:
    with pytest.raises(DeadlineExceededError):
        within_request([Face("f", "s")], np.float32([[1, 0]]), 0.5, Deadline(time.monotonic()))
