"""What abstaining buys and what confidence tells apart, against sorted lists and counted pairs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.abstention import KEPT, abstention_curve, auroc, dark_crops, impostures

PROBES = 400


def probes(seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int32]]:
    """Confidence, hits that follow it, identities of four probes each."""
    generator = np.random.default_rng(seed)
    confidence = generator.permutation(PROBES).astype(np.float32) / PROBES
    hits = generator.random(PROBES) < 0.4 + 0.5 * confidence
    return confidence, hits, np.repeat(np.arange(PROBES // 4), 4).astype(np.int32)


def test_the_curve_is_rank_1_of_the_most_confident_probes() -> None:
    confidence, hits, identities = probes(0)
    curve = abstention_curve(confidence, hits, identities, bootstrap=50)
    ordered = [hit for _, hit in sorted(zip(confidence, hits, strict=True), reverse=True)]
    expected = [np.mean(ordered[: round(kept * PROBES)]) for kept in KEPT]
    assert curve.kept == KEPT
    assert KEPT[0] == 1
    assert len(KEPT) == 20
    np.testing.assert_allclose(curve.rank_1, expected, atol=1e-5)
    assert curve.rank_1[-1] > curve.rank_1[0] + 0.1


def test_confidence_that_says_nothing_buys_nothing() -> None:
    """One score for all: which of them stay is then nobody's choice, and the order of rows least of all."""
    _, hits, identities = probes(0)
    hits = np.sort(hits)
    curve = abstention_curve(np.ones(PROBES, np.float32), hits, identities, bootstrap=50)
    np.testing.assert_allclose(curve.rank_1, hits.mean(), atol=1e-5)


def test_the_band_is_the_spread_of_curves_of_redrawn_identities() -> None:
    confidence, hits, identities = probes(1)
    curve = abstention_curve(confidence, hits, identities, bootstrap=1000)
    generator = np.random.default_rng(5)
    kept = confidence >= np.sort(confidence)[PROBES // 2]
    drawn = []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(identities == i) for i in generator.integers(PROBES // 4, size=100)])
        drawn.append(hits[rows][kept[rows]].mean())
    half = KEPT.index(0.5)
    assert [curve.low[half], curve.high[half]] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.015)
    assert curve == abstention_curve(confidence, hits, identities, bootstrap=1000), "the same seed, the same band"


def test_the_band_knows_that_faces_of_one_person_resemble_each_other() -> None:
    confidence, _, identities = probes(2)
    hits = (identities % 3 == 0).astype(np.bool_)  # all of a person or none
    together = abstention_curve(confidence, hits, identities)
    alone = abstention_curve(confidence, hits, np.arange(PROBES, dtype=np.int32))
    assert together.high[0] - together.low[0] > 1.5 * (alone.high[0] - alone.low[0])


def test_one_probe_has_a_curve() -> None:
    curve = abstention_curve(np.ones(1, np.float32), np.ones(1, np.bool_), np.zeros(1, np.int32), bootstrap=5)
    assert curve.rank_1 == (1.0,) * 20


def counted(faces: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    higher = (faces[:, None] > others).mean()
    return float(higher + (faces[:, None] == others).mean() / 2)


def test_the_area_is_the_share_of_pairs_in_which_the_face_has_more_confidence() -> None:
    generator = np.random.default_rng(0)
    faces = np.round(generator.random(300), 1).astype(np.float32)  # with ties
    others = np.round(generator.random(200) ** 2, 1).astype(np.float32)
    nobody = np.full(200, -1, np.int32)
    found = auroc(faces, np.arange(300, dtype=np.int32), others, nobody, bootstrap=50)
    assert found.value == pytest.approx(counted(faces, others))
    assert found.low < found.value < found.high


def test_the_area_s_interval_is_its_spread_over_redrawn_identities() -> None:
    """What was made of a face is drawn together with it."""
    generator = np.random.default_rng(1)
    faces = generator.random(120).astype(np.float32)
    others = (faces * generator.random(120)).astype(np.float32)
    identities = np.repeat(np.arange(40), 3).astype(np.int32)
    found = auroc(faces, identities, others, identities)
    drawn = []
    for _ in range(600):
        rows = np.concatenate([np.flatnonzero(identities == i) for i in generator.integers(40, size=40)])
        drawn.append(counted(faces[rows], others[rows]))
    assert [found.low, found.high] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.012)


@pytest.mark.parametrize(("shift", "value", "low", "high"), [(2.0, 1.0, 0.92888, 1.0), (-2.0, 0.0, 0.0, 1 - 0.92888)])
def test_what_is_wholly_apart_is_told_as_surely_as_50_people_can_say(
    shift: float, value: float, low: float, high: float
) -> None:
    scores = np.random.default_rng(0).random(50).astype(np.float32)
    who = np.arange(50, dtype=np.int32)
    found = auroc(scores + np.float32(shift), who, scores, who, bootstrap=20)
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-5)


def test_a_few_people_who_are_all_found_leave_the_band_wide() -> None:
    curve = abstention_curve(
        np.linspace(1, 0, 60, dtype=np.float32), np.ones(60, np.bool_), np.arange(60, dtype=np.int32)
    )
    assert curve.high == (1.0,) * 20
    assert curve.low[0] == pytest.approx(0.9404, abs=1e-4)
    assert curve.low[KEPT.index(0.5)] == pytest.approx(0.8843, abs=1e-4), "thirty people are kept"


def features(seed: int, dim: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((60, dim)).astype(np.float32) * 7


@pytest.mark.parametrize(("source_dim", "target_dim"), [(8, 12), (12, 8)])
def test_impostures_are_what_they_are_called(source_dim: int, target_dim: int) -> None:
    sources, targets = features(0, source_dim), features(1, target_dim)
    made = impostures(sources, targets)
    assert list(made) == ["wrong-space", "gaussian-noise", "noisy-faces", "half-missing"]
    assert all(kind.shape == sources.shape and kind.dtype == np.float32 for kind in made.values())
    np.testing.assert_array_equal(made["wrong-space"][:, :8], targets[:, :8])
    assert not made["wrong-space"][:, target_dim:].any()
    np.testing.assert_allclose(np.linalg.norm(made["gaussian-noise"], axis=1), 1, rtol=1e-5)
    added = np.linalg.norm(made["noisy-faces"] - sources, axis=1)
    np.testing.assert_allclose(added, np.linalg.norm(sources, axis=1), rtol=1e-4)
    assert ((made["half-missing"] == 0).sum(axis=1) == source_dim // 2).all()
    kept = made["half-missing"] != 0
    np.testing.assert_array_equal(made["half-missing"][kept], sources[kept])
    assert len(np.unique(kept, axis=0)) > 1, "other entries each time"
    again = impostures(sources, targets)
    assert all((made[kind] == again[kind]).all() for kind in made)


def test_a_vector_of_which_nothing_is_left_is_no_zero_vector() -> None:
    one_entry = np.zeros((60, 8), np.float32)
    one_entry[:, 0] = 1
    late_entry = np.zeros((60, 12), np.float32)
    late_entry[:, -1] = 1
    assert all(kind.any(axis=1).all() for kind in impostures(one_entry, late_entry).values())


def test_the_darkest_tenth_of_the_crops_is_dark() -> None:
    shades = np.random.default_rng(0).permutation(40).astype(np.uint8)
    crops = np.tile(shades[:, None, None, None], (1, 4, 4, 3))
    np.testing.assert_array_equal(dark_crops(crops), shades < 4)
