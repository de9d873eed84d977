"""Similarity and false-match rate, there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.calibration import Calibration, CalibrationPoint, strictest


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


def test_a_threshold_stricter_than_what_was_measured_is_never_invented() -> None:
    with pytest.raises(ValueError, match=r"rate is 0.001"):
        MEASURED.similarity_at(1e-4)


def test_a_rate_looser_than_what_was_measured_demands_what_the_loosest_does() -> None:
    assert MEASURED.similarity_at(0.2) == MEASURED.similarity_at(0.1) == 0.2


@given(st.floats(1e-3, 1e-1))
def test_a_rate_survives_the_way_there_and_back(fmr: float) -> None:
    assert MEASURED.fmr_at(MEASURED.similarity_at(fmr)) == pytest.approx(fmr, rel=1e-6)


rising = st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(sorted)
falling = st.lists(st.floats(1e-6, 0.5), min_size=3, max_size=3, unique=True).map(lambda fmrs: sorted(fmrs)[::-1])
some_calibration = st.builds(lambda fmrs, known: calibration(*zip(fmrs, known, strict=True)), falling, rising)


@given(st.lists(some_calibration, min_size=1, max_size=4), st.floats(-1, 1))
def test_of_several_calibrations_the_strictest_never_understates_a_rate(
    several: list[Calibration], similarity: float
) -> None:
    one = strictest(several)
    if one is not None:
        assert one.fmr_at(similarity) >= max(c.fmr_at(similarity) for c in several) * (1 - 1e-6)


@given(st.lists(rising, min_size=1, max_size=4), st.floats(1e-3, 1e-1))
def test_where_rates_agree_the_strictest_demands_no_more_than_one_of_the_points_beside_does(
    several: list[list[float]], fmr: float
) -> None:
    calibrations = [calibration(*zip((1e-1, 1e-2, 1e-3), known, strict=True)) for known in several]
    one = strictest(calibrations)
    assert one is not None
    assert one.similarity_at(fmr) >= max(c.similarity_at(fmr) for c in calibrations) - 1e-9
    assert [p.similarity for p in one.points] == [max(known) for known in zip(*several, strict=True)]


def test_the_strictest_of_one_is_itself_and_of_none_or_of_ranges_apart_nothing() -> None:
    assert strictest([MEASURED]) == MEASURED
    assert strictest([]) is None
    assert strictest([calibration((0.5, 0.1), (0.1, 0.2)), calibration((1e-2, 0.1), (1e-3, 0.2))]) is None


@pytest.mark.parametrize(
    "points",
    [((1e-2, 0.2), (1e-1, 0.4)), ((1e-1, 0.4), (1e-2, 0.2)), ((1e-1, 0.2), (1e-1, 0.2)), ((1e-1, 0.2),)],
)
def test_points_that_are_not_monotone_are_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValidationError):
        calibration(*points)
