"""`kernel-ridge`: closed form, no images, no iterations; the honest rival that takes a minute."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from training.losses import contrastive_loss
from training.methods.base import Fit, Rows, chunks, preparation
from training.methods.linear import set_aside
from training.models.kernel import Kernel, kernel_of
from training.models.translator import Translator

SUPPORTS_MAX = 8192  # of more training faces, so many are drawn as supports (Nyström)
VALIDATION_ROWS_MAX = 2048
GAMMAS = (0.25, 0.5, 1.0)  # times 1 / ds, since prepared features have a squared length of ds on average
RIDGES = (0.03, 0.1, 0.3, 1.0)
JITTER = 1e-6  # of Nyström's normal equations, relative to their diagonal


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Rows of a fit as tensors, sources prepared by the translator's own preparation."""

    fit: Fit
    by: Translator

    def sources(self, rows: Rows) -> Tensor:
        """[n, ds]."""
        return torch.cat([self.by.prepare(torch.from_numpy(self.fit.sources(part))) for part in chunks(rows)])

    def targets(self, rows: Rows) -> Tensor:
        """[n, dt], of unit length."""
        return torch.from_numpy(self.fit.targets(rows))


@dataclass(frozen=True, slots=True)
class _Choice:
    gamma: float
    ridge: float
    spread: float  # what makes translations of unseen identities as spread as targets are


def fit_kernel_ridge(fit: Fit) -> Translator:
    """Kernel ridge regression (Saunders et al., 1998); width and penalty are chosen on identities set aside.

    The choice is by what identification asks: to find each face's own target before all others.
    """
    prepared = _Prepared(fit, Translator(*preparation(fit), torch.nn.Identity()))
    training_rows, validation_rows = set_aside(fit)
    choice = _choose(prepared, training_rows, validation_rows[:VALIDATION_ROWS_MAX])
    supports, weights, mean = _solve(prepared, fit.rows, choice.gamma, choice.ridge)
    network = Kernel(*fit.dims)
    network.supports, network.weights = supports, weights * choice.spread
    network.target_mean.copy_(mean)
    network.gamma.fill_(choice.gamma)
    return Translator(prepared.by.mean, float(prepared.by.scale), network).eval()


def _choose(data: _Prepared, training_rows: Rows, validation_rows: Rows) -> _Choice:
    sources, targets = data.sources(validation_rows), data.targets(validation_rows)
    tried: list[tuple[float, _Choice]] = []
    for gamma, ridge in itertools.product(GAMMAS, RIDGES):
        scaled = gamma / sources.shape[1]
        supports, weights, mean = _solve(data, training_rows, scaled, ridge)
        deviation = kernel_of(sources, supports, scaled) @ weights  # [V, dt]
        spread = float((targets - mean).square().sum().sqrt() / deviation.square().sum().sqrt().clamp(min=1e-12))
        loss = float(contrastive_loss(targets, normalize(mean + spread * deviation)))
        tried.append((loss, _Choice(scaled, ridge, spread)))
    return min(tried, key=lambda attempt: attempt[0])[1]


def _solve(data: _Prepared, rows: Rows, gamma: float, ridge: float) -> tuple[Tensor, Tensor, Tensor]:
    """Supports [M, ds], weights [M, dt] and target mean [dt]; exact while all rows can be supports."""
    total = torch.stack([data.targets(part).sum(dim=0, dtype=torch.float64) for part in chunks(rows)]).sum(dim=0)
    target_mean = (total / len(rows)).float()
    if len(rows) <= SUPPORTS_MAX:
        supports = data.sources(rows)
        kernel = kernel_of(supports, supports, gamma)  # [M, M]
        kernel.diagonal().add_(ridge)
        return supports, _solve_positive(kernel, data.targets(rows) - target_mean), target_mean
    drawn = np.random.default_rng(data.fit.config.seed).choice(rows, SUPPORTS_MAX, replace=False)
    return _nystrom(data, rows, data.sources(np.sort(drawn)), gamma, ridge, target_mean)


def _nystrom(
    data: _Prepared, rows: Rows, supports: Tensor, gamma: float, ridge: float, target_mean: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Least squares over all rows, streamed, with the supports' kernel as penalty (Williams and Seeger, 2001)."""
    normal = ridge * kernel_of(supports, supports, gamma).double()  # [M, M]
    products = torch.zeros(len(supports), len(target_mean), dtype=torch.float64)  # [M, dt]
    for part in chunks(rows):
        kernel = kernel_of(data.sources(part), supports, gamma).double()  # [n, M]
        normal.addmm_(kernel.T, kernel)
        products.addmm_(kernel.T, (data.targets(part) - target_mean).double())
    normal.diagonal().mul_(1 + JITTER)
    return supports, _solve_positive(normal, products).float(), target_mean


def _solve_positive(matrix: Tensor, right: Tensor) -> Tensor:
    return torch.cholesky_solve(right, torch.linalg.cholesky(matrix)).contiguous()
