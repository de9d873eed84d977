"""The closed forms against numpy's own solvers on the stacked data."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.models.linear import Moments, measure_moments, solve_procrustes, solve_ridge

ROWS, SOURCE_DIM, TARGET_DIM = 200, 7, 5
Pairs = tuple[NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture
def pairs() -> Pairs:
    """Sources of mean zero, and targets that a noisy affine map makes of them."""
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(ROWS, SOURCE_DIM))
    sources -= sources.mean(axis=0)
    targets = sources @ rng.normal(size=(SOURCE_DIM, TARGET_DIM)) + rng.normal(size=TARGET_DIM)
    return sources.astype(np.float32), (targets + 0.1 * rng.normal(size=targets.shape)).astype(np.float32)


def moments_of(pairs: Pairs, batch_rows: int = ROWS) -> Moments:
    sources, targets = pairs
    return measure_moments(
        (sources[i : i + batch_rows], targets[i : i + batch_rows]) for i in range(0, ROWS, batch_rows)
    )


@pytest.mark.parametrize("ridge", [0.0, 0.1, 10.0])
def test_ridge_is_least_squares_over_rows_and_penalty_stacked(pairs: Pairs, ridge: float) -> None:
    x, y = (side.astype(np.float64) for side in pairs)
    penalty = np.sqrt(ridge * ROWS) * np.eye(SOURCE_DIM)
    stacked_x = np.vstack([x - x.mean(axis=0), penalty])
    stacked_y = np.vstack([y - y.mean(axis=0), np.zeros((SOURCE_DIM, TARGET_DIM))])
    expected = np.linalg.lstsq(stacked_x, stacked_y, rcond=None)[0]
    weight, bias = solve_ridge(moments_of(pairs), ridge)
    np.testing.assert_allclose(weight, expected, atol=1e-6)
    np.testing.assert_allclose(bias, y.mean(axis=0), atol=1e-6)


def test_procrustes_finds_a_rotation_and_its_scale() -> None:
    rng = np.random.default_rng(1)
    rotation = np.linalg.qr(rng.normal(size=(SOURCE_DIM, SOURCE_DIM)))[0]
    sources = rng.normal(size=(ROWS, SOURCE_DIM))
    sources -= sources.mean(axis=0)
    targets = 0.4 * sources @ rotation + 2.0
    weight, bias = solve_procrustes(moments_of((sources.astype(np.float32), targets.astype(np.float32))))
    np.testing.assert_allclose(weight, 0.4 * rotation, atol=1e-5)
    np.testing.assert_allclose(bias, 2.0, atol=1e-5)


def rotations_near(rotation: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Semi-orthogonal matrices [ds, dt] at several distances of one."""
    rng = np.random.default_rng(2)
    found = []
    for size in np.repeat((0.01, 0.1, 1.0), 20):
        other = np.linalg.qr(rotation + size * rng.normal(size=rotation.shape))[0]
        found.append(other * np.sign(np.sum(other * rotation, axis=0)))  # a QR's columns come with either sign
    return found


def test_procrustes_is_nearer_to_pairs_of_one_dimension_than_any_other_scaled_rotation(pairs: Pairs) -> None:
    square = (pairs[0][:, :TARGET_DIM], pairs[1])
    x, y = (side.astype(np.float64) for side in square)
    weight, bias = solve_procrustes(moments_of(square))
    scale = np.linalg.norm(weight) / np.sqrt(TARGET_DIM)
    np.testing.assert_allclose(weight.T @ weight, scale**2 * np.eye(TARGET_DIM), atol=1e-6)
    found = np.linalg.norm(x @ weight + bias - y)
    assert all(np.linalg.norm(x @ (scale * r) + bias - y) >= found for r in rotations_near(weight / scale))
    assert all(np.linalg.norm(factor * x @ weight + bias - y) > found for factor in (0.95, 1.05))


def test_procrustes_agrees_most_with_pairs_of_unequal_dimensions(pairs: Pairs) -> None:
    x, y = (side.astype(np.float64) for side in pairs)
    weight, _ = solve_procrustes(moments_of(pairs))
    rotation = weight * np.sqrt(TARGET_DIM) / np.linalg.norm(weight)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(TARGET_DIM), atol=1e-6)
    found = np.sum((x @ rotation) * (y - y.mean(axis=0)))
    assert all(np.sum((x @ r) * (y - y.mean(axis=0))) <= found for r in rotations_near(rotation))


def test_moments_in_batches_are_moments_of_the_whole(pairs: Pairs) -> None:
    whole, streamed = moments_of(pairs), moments_of(pairs, batch_rows=33)
    assert streamed.rows == whole.rows == ROWS
    np.testing.assert_allclose(streamed.source_source, whole.source_source)
    np.testing.assert_allclose(streamed.source_target, whole.source_target)
    np.testing.assert_allclose(streamed.target_mean, whole.target_mean)
    assert streamed.target_power == pytest.approx(whole.target_power)


def test_no_pairs_have_no_moments() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        measure_moments(iter(()))
