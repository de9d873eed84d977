"""Similarities, false-match rates, and what both mean over a whole gallery."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.calibration import Calibration, CalibrationPoint
from service.errors import UncalibratedError
from service.thresholds import ANY, Threshold, check_threshold, fmr_of, fpirs_of, least_similarity

CALIBRATION = Calibration(
    impostor_pairs=1000,
    points=tuple(CalibrationPoint(fmr=10.0**-i, similarity=0.1 * i, extrapolated=False) for i in range(1, 7)),
)


def test_a_similarity_needs_no_calibration_and_nothing_asked_demands_nothing() -> None:
    assert least_similarity(Threshold(min_similarity=0.3), None, 5) == 0.3
    assert least_similarity(ANY, None, 5) is None


def test_a_false_match_rate_is_the_same_in_every_gallery() -> None:
    for searched in (0, 1, 1_000_000):
        assert least_similarity(Threshold(max_fmr=1e-3), CALIBRATION, searched) == pytest.approx(0.3)


@pytest.mark.parametrize(("searched", "similarity"), [(1, 0.2), (10, 0.3), (1000, 0.5)])
def test_the_larger_the_gallery_the_more_a_rate_over_all_of_it_demands(searched: int, similarity: float) -> None:
    demanded = least_similarity(Threshold(max_fpir=0.01), CALIBRATION, searched)
    assert demanded == pytest.approx(similarity, abs=1e-3)


def test_nobody_can_be_mistaken_where_nobody_is_compared() -> None:
    assert least_similarity(Threshold(max_fpir=0.01), CALIBRATION, 0) is None


@pytest.mark.parametrize(
    ("threshold", "searched"),
    [(Threshold(max_fmr=1e-9), 1), (Threshold(max_fpir=0.01), 1_000_000)],
)
def test_a_rate_stricter_than_what_was_measured_is_refused(threshold: Threshold, searched: int) -> None:
    with pytest.raises(UncalibratedError, match="none below 1e-06 was calibrated"):
        least_similarity(threshold, CALIBRATION, searched)


@pytest.mark.parametrize("threshold", [Threshold(max_fmr=0.5), Threshold(max_fpir=0.5), Threshold(max_fpir=0.2)])
def test_a_rate_looser_than_what_was_measured_demands_what_the_loosest_measured_does(threshold: Threshold) -> None:
    assert least_similarity(threshold, CALIBRATION, 1) == pytest.approx(0.1)


@pytest.mark.parametrize("threshold", [Threshold(max_fmr=0.01), Threshold(max_fpir=0.01)])
def test_without_calibration_a_rate_is_refused_before_the_search(threshold: Threshold) -> None:
    with pytest.raises(UncalibratedError, match="nobody has measured"):
        check_threshold(threshold, None)
    check_threshold(threshold, CALIBRATION)


def test_the_rate_over_a_gallery_keeps_its_digits_where_rates_are_small() -> None:
    np.testing.assert_allclose(fpirs_of(np.array([1e-6, 1e-12, 0.1]), 1000), [9.99501e-4, 1e-9, 1.0], rtol=1e-5)
    assert fpirs_of(np.array([0.1, 1.0]), 0).tolist() == [0.0, 0.0]
    assert fpirs_of(np.array([1.0]), 3).tolist() == [1.0]


@given(st.floats(1e-9, 0.999), st.integers(1, 10_000_000))
def test_both_rates_lead_to_one_another(fpir: float, searched: int) -> None:
    fmr = fmr_of(fpir, searched)
    assert 0 < fmr <= fpir or fmr == pytest.approx(fpir)
    np.testing.assert_allclose(fpirs_of(np.array([fmr]), searched), [fpir], rtol=1e-9)
