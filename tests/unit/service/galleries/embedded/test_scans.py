"""The in-memory scans against the plainest reference."""

import numpy as np
import pytest

from contract.vectors import l2_normalize
from service.galleries.embedded.columns import BLOCK_ROWS
from service.galleries.embedded.mean_scan import nearest_subjects_by_mean
from service.galleries.embedded.scan import nearest_faces, nearest_subjects
from service.galleries.values import EVERYWHERE, Found, Where
from tests.unit.service.galleries.embedded.galleries_in_memory import SmallGallery, unit_features

SIZES = [1, 3, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS + 77]
FILTERS = [
    EVERYWHERE,
    Where(tags=("north",)),
    Where(tags=("staff", "north"), until_ms=BLOCK_ROWS + 40),
    Where(from_ms=BLOCK_ROWS - 20, until_ms=BLOCK_ROWS + 10),
    Where(tags=("nobody has it",)),
    Where(from_ms=10, until_ms=10),
]


def ranked(found: Found) -> list[list[tuple[float, str]]]:
    return [[(match.similarity, match.face_id) for match in matches] for matches in found.matches]


@pytest.mark.parametrize("rows", SIZES)
def test_faces_are_ordered_as_by_a_float64_scan(rows: int) -> None:
    gallery, probes = SmallGallery(unit_features(rows)), unit_features(5, seed=1)
    copy, roster = gallery.filled()
    found = nearest_faces(copy, roster, probes, 20, EVERYWHERE)
    assert ranked(found) == [gallery.faces(probe, 20) for probe in probes]
    assert found.searched == rows


@pytest.mark.parametrize("faces_per_subject", [1, 3, 2 * BLOCK_ROWS])
@pytest.mark.parametrize("rows", SIZES)
def test_subjects_are_ordered_by_their_best_face_or_their_mean(rows: int, faces_per_subject: int) -> None:
    gallery, probes = SmallGallery(unit_features(rows), faces_per_subject), unit_features(3, seed=1)
    copy, roster = gallery.filled()
    by_best = nearest_subjects(copy, roster, probes, 20, EVERYWHERE)
    by_mean = nearest_subjects_by_mean(copy, roster, probes, 20, EVERYWHERE)
    assert ranked(by_best) == [gallery.subjects_by(probe, 20, mean=False) for probe in probes]
    assert ranked(by_mean) == [gallery.subjects_by(probe, 20, mean=True) for probe in probes]
    assert by_best.searched == by_mean.searched == rows
    subjects = [[match.subject for match in matches] for matches in by_best.matches + by_mean.matches]
    assert all(len(set(names)) == len(names) for names in subjects)


@pytest.mark.parametrize("where", FILTERS)
def test_a_filter_leaves_out_faces_before_anything_is_ranked(where: Where) -> None:
    gallery, probes = SmallGallery(unit_features(BLOCK_ROWS + 300), 4), unit_features(3, seed=1)
    copy, roster = gallery.filled()
    searched = len(gallery.passing(where))
    faces = nearest_faces(copy, roster, probes, 7, where)
    by_best = nearest_subjects(copy, roster, probes, 7, where)
    by_mean = nearest_subjects_by_mean(copy, roster, probes, 7, where)
    assert ranked(faces) == [gallery.faces(probe, 7, where) for probe in probes]
    assert ranked(by_best) == [gallery.subjects_by(probe, 7, where, mean=False) for probe in probes]
    assert ranked(by_mean) == [gallery.subjects_by(probe, 7, where, mean=True) for probe in probes]
    assert faces.searched == by_best.searched == by_mean.searched == searched


def test_near_equals_within_float32_rounding_are_ordered_exactly() -> None:
    generator = np.random.default_rng(0)
    base, dim = unit_features(1, dim=512), 512
    noise = generator.standard_normal((3000, dim), dtype=np.float32)
    features = l2_normalize(base + np.float32(3e-7) * noise)  # similarities differ by less than a float32 dot's error
    gallery, probe = SmallGallery(features, 2), unit_features(1, dim=dim, seed=2)
    copy, roster = gallery.filled()
    [faces] = ranked(nearest_faces(copy, roster, probe, 50, EVERYWHERE))
    assert faces == gallery.faces(probe[0], 50)
    float32_order = np.argsort(-(features @ probe[0]), kind="stable")[:50]
    assert [face_id for _, face_id in faces] != [gallery.face_id(slot) for slot in float32_order], "it proves nothing"
    [by_best] = ranked(nearest_subjects(copy, roster, probe, 50, EVERYWHERE))
    [by_mean] = ranked(nearest_subjects_by_mean(copy, roster, probe, 50, EVERYWHERE))
    assert by_best == gallery.subjects_by(probe[0], 50, mean=False)
    assert by_mean == gallery.subjects_by(probe[0], 50, mean=True)


def test_equal_features_in_every_block_tie_by_face_id() -> None:
    features = np.tile(unit_features(1), (2 * BLOCK_ROWS + 5, 1))
    copy, roster = SmallGallery(features).filled()
    for scan in (nearest_faces, nearest_subjects, nearest_subjects_by_mean):
        [matches] = scan(copy, roster, features[:1], 3, EVERYWHERE).matches
        assert [match.face_id for match in matches] == ["face-000000", "face-000001", "face-000002"]
        assert len({match.similarity for match in matches}) == 1


def test_a_similarity_never_exceeds_one() -> None:
    features = unit_features(500)
    copy, roster = SmallGallery(features).filled()
    probes = np.concatenate([features[:32], -features[:32]])
    found = nearest_faces(copy, roster, probes, 500, EVERYWHERE)
    assert all(-1.0 <= match.similarity <= 1.0 for matches in found.matches for match in matches)


def test_what_was_removed_is_not_found_and_the_rest_is() -> None:
    rows = 2 * BLOCK_ROWS + 20
    gallery = SmallGallery(unit_features(rows))
    copy, roster = gallery.filled()
    gone = np.random.default_rng(0).permutation(rows)[: rows - 10]
    copy.remove(gone)
    roster.remove(gone)
    left = sorted(set(range(rows)) - set(gone.tolist()))
    assert len(copy) == len(roster.faces) == 10
    for slot in left:
        probe = gallery.features[slot : slot + 1]
        for top_k in (1, 20):  # a zero left behind would come before what points the other way
            [matches] = nearest_faces(copy, roster, probe, top_k, EVERYWHERE).matches
            assert matches[0].face_id == gallery.face_id(slot)
            assert len(matches) == min(top_k, 10)


def test_a_face_that_a_copy_does_not_hold_is_not_found_in_it() -> None:
    gallery = SmallGallery(unit_features(40))
    copy, roster = gallery.filled()
    copy.remove(np.arange(0, 40, 2))
    found = nearest_faces(copy, roster, gallery.features[:1], 40, EVERYWHERE)
    assert {match.face_id for match in found.matches[0]} == {gallery.face_id(slot) for slot in range(1, 40, 2)}
    assert found.searched == 20
