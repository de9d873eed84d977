"""Calibration against counts and known distributions."""

import numpy as np
import pytest

from contract.calibration import FMR_LEVELS
from contract.vectors import l2_normalize
from training.calibration import calibrate, check_calibration


def strangers(seed: int, probes: int, faces: int, dim: int = 16) -> tuple[np.ndarray, ...]:
    """Probes and faces of nobody in common: impostor pairs only."""
    generator = np.random.default_rng(seed)
    return (
        generator.standard_normal((probes, dim)).astype(np.float32),
        np.arange(probes, dtype=np.int32),
        generator.standard_normal((faces, dim)).astype(np.float32),
        np.full(faces, -1, np.int32),
    )


def test_counted_points_have_the_share_of_impostors_beyond_that_they_claim() -> None:
    people = strangers(0, 300, 500)
    calibration = calibrate(*people)
    impostors = (l2_normalize(people[0]) @ l2_normalize(people[2]).T).ravel()
    assert calibration.impostor_pairs == impostors.size == 150_000
    for point in calibration.points:
        if not point.extrapolated:
            assert (impostors > point.similarity).mean() == pytest.approx(point.fmr, rel=0.05)
            assert (impostors > point.similarity).sum() <= point.fmr * impostors.size


def test_points_with_fewer_than_ten_impostors_beyond_are_marked() -> None:
    points = calibrate(*strangers(1, 300, 500)).points
    assert [point.fmr for point in points] == [float(level) for level in FMR_LEVELS]
    assert [point.extrapolated for point in points] == [False, False, False, False, True, True]


def test_two_decades_beyond_the_counts_even_features_pass_no_more_than_is_claimed() -> None:
    """Features that are even on the sphere, whose tail falls faster than the exponential; faces need not be."""
    many = strangers(3, 2000, 5000, dim=64)
    impostors = (l2_normalize(many[0]) @ l2_normalize(many[2]).T).ravel()
    for seed in range(5):
        fitted = calibrate(*strangers(seed, 100, 100, dim=64)).points
        assert fitted[-2].extrapolated
        assert (impostors > fitted[-2].similarity).mean() <= fitted[-2].fmr
        assert fitted[-1].similarity > fitted[-2].similarity > fitted[2].similarity


def lookalikes(seed: int, probes: int, faces: int) -> tuple[np.ndarray, ...]:
    """As `strangers`, but one pair in five thousand looks alike."""
    kinds = np.random.default_rng(7).standard_normal((5000, 16))
    generator = np.random.default_rng(seed)
    drawn = (kinds[generator.integers(5000, size=count)] for count in (probes, faces))
    seen = [np.asarray(kind + 0.3 * generator.standard_normal(kind.shape), np.float32) for kind in drawn]
    return seen[0], np.arange(probes, dtype=np.int32), seen[1], np.full(faces, -1, np.int32)


def test_of_rare_lookalikes_the_first_extrapolated_rate_knows_too_little() -> None:
    """Why nobody may say that extrapolation errs to the safe side; it holds of even features alone."""
    many = lookalikes(99, 1000, 2000)
    impostors = (l2_normalize(many[0]) @ l2_normalize(many[2]).T).ravel()
    observed = []
    for seed in range(20):
        point = next(p for p in calibrate(*lookalikes(seed, 100, 100)).points if p.extrapolated)
        observed.append((impostors > point.similarity).mean() / point.fmr)
    assert min(observed) < 1 < np.mean(observed) < 2


def test_genuine_pairs_are_no_part_of_it() -> None:
    probes, identities, gallery, nobody = strangers(4, 60, 50, dim=64)
    own = np.concatenate([probes, gallery])  # every probe finds itself at similarity 1
    calibration = calibrate(probes, identities, own, np.concatenate([identities, nobody]))
    assert calibration.impostor_pairs == 60 * 59 + 60 * 50
    assert calibration.points[2].similarity < 0.6


def test_identical_impostors_keep_the_points_monotone() -> None:
    same = np.ones((40, 4), np.float32)
    calibration = calibrate(same, np.arange(40, dtype=np.int32), same, np.arange(100, 140, dtype=np.int32))
    assert all(point.similarity <= 1 for point in calibration.points)
    assert calibration.points[0].similarity == pytest.approx(1, abs=1e-4)


def test_too_few_impostors_are_refused() -> None:
    with pytest.raises(ValueError, match="99 impostor pairs"):
        calibrate(*strangers(0, 9, 11))


def test_every_point_is_where_sorted_impostors_put_it() -> None:
    """Counted ones at the next pair in order; beyond, an exponential through the highest hundred."""
    people = strangers(5, 300, 500)
    falling = np.sort((l2_normalize(people[0]) @ l2_normalize(people[2]).T).ravel().astype(np.float64))[::-1]
    tail_start = falling[100]
    excess = (falling[:100] - tail_start).mean()
    expected = [
        falling[int(fmr * len(falling) + 1e-9)]
        if fmr * len(falling) >= 10
        else min(tail_start + excess * np.log(100 / (fmr * len(falling))), 1)
        for fmr in (float(level) for level in FMR_LEVELS)
    ]
    found = [point.similarity for point in calibrate(*people).points]
    np.testing.assert_allclose(found, expected, atol=5e-4)


def people_of_a_kind(seed: int, identities: int, spread: float) -> tuple[np.ndarray, ...]:
    """A probe of each identity and a gallery with one face of each, as one encoder would see them."""
    generator = np.random.default_rng(seed)
    axes = np.geomspace(1, spread, 24)
    subjects = generator.standard_normal((identities, 24)) * axes
    seen = [np.asarray(subjects + 0.2 * generator.standard_normal(subjects.shape) * axes, np.float32) for _ in range(2)]
    who = np.arange(identities, dtype=np.int32)
    return seen[0], who, seen[1], who


@pytest.mark.parametrize("spread", [1.0, 0.3, 0.1])
def test_one_rate_means_the_same_whatever_the_space(spread: float) -> None:
    """Similarities of impostors differ widely between the spaces; what passes at a rate's threshold does not."""
    people = people_of_a_kind(0, 800, spread)
    checked = check_calibration(*people)
    assert list(checked) == ["1e-1", "1e-2", "1e-3", "1e-4"]
    for level, tolerance in (("1e-1", 0.15), ("1e-2", 0.3), ("1e-3", 0.5)):
        assert checked[level] == pytest.approx(float(level), rel=tolerance)


def test_thresholds_are_observed_on_other_people_than_they_come_from() -> None:
    """By masks over the whole matrix of similarities; and not on the pairs between both halves."""
    probes, who, gallery, enrolled = people_of_a_kind(1, 120, 0.5)
    similarities = l2_normalize(probes) @ l2_normalize(gallery).T
    first = np.isin(np.arange(120), np.random.default_rng(0).permutation(120)[::2])
    impostor = who[:, None] != enrolled[None, :]
    halves = [impostor & np.outer(side, side) for side in (first, ~first)]
    passed = 0
    for own, other in (halves, halves[::-1]):
        falling = np.sort(similarities[own])[::-1]
        threshold = falling[int(0.1 * len(falling))]
        passed += int((similarities[other] > threshold).sum())
    checked = check_calibration(probes, who, gallery, enrolled)
    assert list(checked) == ["1e-1", "1e-2"]
    assert checked["1e-1"] == pytest.approx(passed / (halves[0].sum() + halves[1].sum()), abs=5e-4)


def test_distractors_are_people_of_their_own_in_the_check() -> None:
    probes, who, gallery, nobody = strangers(2, 200, 300)
    assert check_calibration(probes, who, gallery, nobody)["1e-2"] == pytest.approx(1e-2, rel=0.2)


@pytest.mark.parametrize("identities", [1, 2, 14])
def test_halves_that_are_too_few_check_nothing(identities: int) -> None:
    assert check_calibration(*people_of_a_kind(0, identities, 1.0)) == {}
