"""Similarity and false-match rate, there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.calibration import Calibration, CalibrationPoint


def calibration(*points: tuple[float, float]) -> Calibration:
    return Calibration(
        impostor_pairs=1000,
        points=tuple(CalibrationPoint(fmr=f, similarity=s, extrapolated=False) for f, s in points),
    )


MEASURED = calibration((1e-1, 0.2), (1e-2, 0.4), (1e-3, 0.5))


def test_the_points_themselves_are_met() -> None:
    assert MEASURED.fmr_at(0.4) == pytest.approx(1e-2)
    assert MEASURED.similarity_at(1e-3) == pytest.approx(0.5)


def test_between_points_the_rate_is_log_linear() -> None:
    assert MEASURED.fmr_at(0.3) == pytest.approx(10**-1.5)


def test_beyond_the_last_point_the_rate_is_the_last() -> None:
    assert MEASURED.fmr_at(1.0) == pytest.approx(1e-3)


@pytest.mark.parametrize("similarity", [-1.0, 0.0, 0.1999])
def test_below_the_first_point_anybody_may_match(similarity: float) -> None:
    assert MEASURED.fmr_at(similarity) == 1


def test_no_rate_below_the_first_point_is_less_than_what_impostors_show() -> None:
    """A tight crowd and a few that look like everybody: no line through the points would have known."""
    generator = np.random.default_rng(0)
    impostors = np.concatenate([generator.normal(0.0, 0.02, 8500), generator.uniform(0.2, 0.6, 1500)])
    points = tuple((fmr, float(np.quantile(impostors, 1 - fmr))) for fmr in (1e-1, 1e-2))
    for similarity in np.linspace(-1, points[0][1], 50):
        assert calibration(*points).fmr_at(similarity - 1e-9) >= (impostors > similarity).mean()


@pytest.mark.parametrize("fmr", [0.2, 1e-4])
def test_a_threshold_outside_the_range_is_never_invented(fmr: float) -> None:
    with pytest.raises(ValueError, match=r"\[0.001, 0.1\]"):
        MEASURED.similarity_at(fmr)


@given(st.floats(1e-3, 1e-1))
def test_a_rate_survives_the_way_there_and_back(fmr: float) -> None:
    assert MEASURED.fmr_at(MEASURED.similarity_at(fmr)) == pytest.approx(fmr, rel=1e-6)


@pytest.mark.parametrize(
    "points",
    [((1e-2, 0.2), (1e-1, 0.4)), ((1e-1, 0.4), (1e-2, 0.2)), ((1e-1, 0.2), (1e-1, 0.2)), ((1e-1, 0.2),)],
)
def test_points_that_are_not_monotone_are_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValidationError):
        calibration(*points)
