"""What the figures are drawn from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.calibration import FMR_LEVELS, Calibration, CalibrationPoint
from contract.manifest import Identification
from tests.unit.training.report.samples import FINGERPRINT, judgement, make_evidence, make_summary, rate
from training.report.learning import learning_lines
from training.report.losses import loss_series, running_mean, spans_decades
from training.report.overview import overview_rows, strictest_far
from training.report.plane import fit_plane, plane_points
from training.report.run import LearningCurve, LossHistory, Summary
from training.report.scores import density, mean
from training.report.style import line_style
from training.report.subjects import faces_of_most_photographed
from training.report.thresholds import calibration_line
from training.report.trials import BINS, count_similarities


def test_the_overview_shows_the_best_method_first_then_the_natives_and_no_chance() -> None:
    rows = overview_rows(Summary.model_validate(make_summary()))
    assert list(rows) == ["residual", "affine", "source native", "target native"]


@pytest.mark.parametrize(
    ("first", "second", "far"),
    [
        (("1e-4", "1e-3"), ("1e-3",), "1e-3"),
        (("1e-5", "1e-4", "1e-3"), ("1e-5", "1e-4", "1e-3"), "1e-4"),  # 1e-5 hangs on a handful of pairs
    ],
)
def test_verification_is_compared_at_the_strictest_rate_that_says_something_of_all_rows(
    first: tuple[str, ...], second: tuple[str, ...], far: str
) -> None:
    rows = {"a": judgement(0.9, **dict.fromkeys(first, 0.5)), "b": judgement(0.9, **dict.fromkeys(second, 0.5))}
    assert strictest_far({name: Identification.model_validate(row) for name, row in rows.items()}) == far


def test_learning_lines_rise_in_rows_by_kind_and_method() -> None:
    rows = [("all", "fc", 2000), ("all", "residual", 500), ("noisy", "fc", 500), ("all", "fc", 500)]
    points = [{"kind": k, "method": m, "rows": n, "identities": 9, "rank_1": rate(0.5)} for k, m, n in rows]
    data = {"source": "old-10", "target": "new-8", "data_fingerprint": FINGERPRINT}
    lines = learning_lines(LearningCurve.model_validate(data | {"points": points}))
    drawn = {kind: {m: [p.rows for p in points] for m, points in methods.items()} for kind, methods in lines.items()}
    assert drawn == {"all": {"fc": [500, 2000], "residual": [500]}, "noisy": {"fc": [500]}}


def test_losses_that_begin_late_are_drawn_from_there() -> None:
    points = [{"iteration": 5, "losses": {"a": 2.0}}, {"iteration": 10, "losses": {"b": 3.0, "a": 1.0}}]
    series = loss_series(LossHistory.model_validate({"points": points}))
    assert {name: [list(part) for part in parts] for name, parts in series.items()} == {
        "a": [[5, 10], [2, 1]],
        "b": [[10], [3]],
    }


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=230))
def test_a_running_mean_is_that_of_its_window_and_keeps_both_ends(values: list[float]) -> None:
    half = len(values) // 50 // 2
    expected = []
    for at in range(len(values)):
        reach = min(half, at, len(values) - 1 - at)
        expected.append(np.mean(values[at - reach : at + reach + 1]))
    np.testing.assert_allclose(running_mean(np.asarray(values)), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("values", "expected"), [([1, 20], True), ([1, 9], False), ([-1, 20], False), ([0, 20], False)]
)
def test_losses_far_apart_take_a_logarithmic_axis_if_they_are_positive(values: list[float], expected: bool) -> None:
    assert spans_decades([np.asarray(values, np.float64)]) is expected


def test_the_counted_and_the_extrapolated_part_of_a_calibration_meet() -> None:
    points = tuple(
        CalibrationPoint(fmr=float(level), similarity=0.1 * i, extrapolated=i > 3) for i, level in enumerate(FMR_LEVELS)
    )
    line = calibration_line(Calibration(impostor_pairs=1000, points=points))
    assert [fmr for _, fmr in line.counted] == [1e-1, 1e-2, 1e-3, 1e-4]
    assert [fmr for _, fmr in line.extrapolated] == [1e-4, 1e-5, 1e-6]


def test_a_density_integrates_to_one_and_keeps_the_mean() -> None:
    similarities = np.random.default_rng(0).uniform(-0.3, 0.9, 5000).astype(np.float32)
    counts = count_similarities(similarities)
    assert density(counts).sum() * (2 / len(density(counts))) == pytest.approx(1)
    assert mean(counts) == pytest.approx(similarities.mean(), abs=2 / BINS)


def test_those_with_most_faces_are_shown_and_nobody_unknown_or_with_one_face() -> None:
    identities = np.array([7, 5, -1, 5, -1, 9, 5, 7, -1, 3, 3, -1], np.int32)
    rows, numbers = faces_of_most_photographed(identities, subjects=3, faces_max=2)
    assert rows.tolist() == [1, 3, 9, 10, 0, 7]
    assert numbers.tolist() == [0, 0, 1, 1, 2, 2]


def test_a_plane_holds_the_two_directions_of_most_variance() -> None:
    features = np.random.default_rng(0).normal(size=(60, 7)) * np.arange(1, 8) + 3
    plane = fit_plane(np.asarray(features, np.float32))
    values, vectors = np.linalg.eigh(np.cov(features.T))
    points = plane.project(np.asarray(features, np.float32))
    np.testing.assert_allclose(np.cov(points.T), np.diag(values[::-1][:2]), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(np.abs(plane.directions.T @ vectors[:, ::-1][:, :2]), np.eye(2), atol=1e-3)
    assert np.all(plane.directions[np.abs(plane.directions).argmax(axis=0), [0, 1]] > 0)


def test_translated_and_target_share_a_plane_and_the_source_has_its_own() -> None:
    evidence = make_evidence()
    panels, subjects = plane_points(evidence, ("residual",))
    rows, _ = faces_of_most_photographed(evidence.stage.probe_identities, 10, 40)
    target = fit_plane(evidence.stage.target_probes[rows])
    assert list(panels) == ["source", "translated, residual", "target"]
    assert set(subjects) == set(range(10))
    np.testing.assert_allclose(panels["translated, residual"], target.project(evidence.translated["residual"][rows]))
    np.testing.assert_allclose(panels["target"], target.project(evidence.stage.target_probes[rows]))
    sources = evidence.stage.source_probes[rows]
    np.testing.assert_allclose(panels["source"], fit_plane(sources).project(sources))


def test_no_two_kinds_of_probe_are_drawn_alike() -> None:
    names = ["r3an", "r3an-linear", "residual", "fc", "affine", "procrustes", "kernel-ridge", "distilled"]
    names += [f"arch{n}" for n in range(1, 8)] + ["source native", "target native", "untranslated"]
    assert len({str(line_style(name)) for name in names}) == len(names)
