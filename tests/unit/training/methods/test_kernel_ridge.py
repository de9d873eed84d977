"""Kernel ridge against numpy's own solution; Nyström against the exact one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from contract.manifest import Method
from tests.unit.training.samples import make_fit, sample_pairs
from training.methods import kernel_ridge
from training.methods.base import Fit, preparation
from training.methods.kernel_ridge import fit_kernel_ridge
from training.models.kernel import Kernel
from training.models.translator import Translator, translate

GAMMA, RIDGE = 0.5, 0.1


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fit:
    """One width and one penalty to choose from."""
    monkeypatch.setattr(kernel_ridge, "GAMMAS", (GAMMA,))
    monkeypatch.setattr(kernel_ridge, "RIDGES", (RIDGE,))
    return make_fit(sample_pairs(tmp_path), tmp_path / "c.pt", Method.KERNEL_RIDGE)


def deviations(translator: Translator, fit: Fit) -> np.ndarray:
    """What the network adds to the mean for the training rows [N, dt]."""
    with torch.no_grad():
        found = translator.network(translator.prepare(torch.from_numpy(fit.sources(fit.rows))))
        return np.asarray(found - translator.network.target_mean)


def test_it_is_the_textbooks_solution_up_to_the_spread(fit: Fit) -> None:
    mean, scale = preparation(fit)
    x = fit.sources(fit.rows).astype(np.float64)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True) - mean.numpy()) * scale
    squares = np.square(x[:, None] - x[None]).sum(axis=2)
    kernel = np.exp(-GAMMA / x.shape[1] * squares)
    y = fit.targets(fit.rows) - fit.targets(fit.rows).mean(axis=0)
    expected = kernel @ np.linalg.solve(kernel + RIDGE * np.eye(len(x)), y)
    found = deviations(fit_kernel_ridge(fit), fit)
    spread = np.linalg.norm(found) / np.linalg.norm(expected)
    np.testing.assert_allclose(found, spread * expected, atol=1e-4)
    assert 1 <= spread < 2, "translations of unseen identities shrink towards the mean"


def test_nystroem_with_every_row_as_support_is_exact(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = fit_kernel_ridge(fit)
    data = kernel_ridge._Prepared(fit, exact)
    solve = kernel_ridge._solve(data, fit.rows, GAMMA / 8, RIDGE)
    supports, weights, _ = kernel_ridge._nystrom(data, fit.rows, solve[0], GAMMA / 8, RIDGE, solve[2])
    kernel = kernel_ridge.kernel_of(supports, supports, GAMMA / 8)
    torch.testing.assert_close(kernel @ weights, kernel @ solve[1], rtol=0, atol=1e-3)


def test_more_rows_than_supports_are_all_used(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = translate(fit_kernel_ridge(fit), fit.sources(fit.rows))
    monkeypatch.setattr(kernel_ridge, "SUPPORTS_MAX", 20)
    translator = fit_kernel_ridge(fit)
    assert isinstance(translator.network, Kernel)
    assert len(translator.network.supports) == 20 < len(fit.rows)
    approximate = translate(translator, fit.sources(fit.rows))
    assert (approximate * exact).sum(axis=1).min() > 0.98
