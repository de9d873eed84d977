"""Calibration against counts and known distributions."""

import numpy as np
import pytest

from contract.calibration import FMR_LEVELS
from contract.vectors import l2_normalize
from training.calibration import calibrate


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


def test_extrapolation_errs_to_the_safe_side() -> None:
    """Thresholds fitted to few impostors let no more of many pass than they claim."""
    many = strangers(3, 2000, 5000, dim=64)
    impostors = (l2_normalize(many[0]) @ l2_normalize(many[2]).T).ravel()
    for seed in range(5):
        fitted = calibrate(*strangers(seed, 100, 100, dim=64)).points
        assert fitted[-2].extrapolated
        assert (impostors > fitted[-2].similarity).mean() <= fitted[-2].fmr
        assert fitted[-1].similarity > fitted[-2].similarity > fitted[2].similarity


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
