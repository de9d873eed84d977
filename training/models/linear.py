"""Linear maps in closed form: ridge regression and orthogonal Procrustes, streamed over the rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Matrix = NDArray[np.float64]


class Linear(nn.Module):
    """y = x W + b on prepared features: [N, ds] to [N, dt]."""

    def __init__(self, source_dim: int, target_dim: int) -> None:
        super().__init__()
        self.map = nn.Linear(source_dim, target_dim)

    def forward(self, features: Tensor) -> Tensor:
        """Translate prepared features."""
        translated: Tensor = self.map(features)
        return translated

    @torch.no_grad()
    def set(self, weight: Matrix, bias: Matrix) -> None:
        """Take a solution: weight [ds, dt], bias [dt]."""
        self.map.weight.copy_(torch.from_numpy(weight.T.astype(np.float32)))
        self.map.bias.copy_(torch.from_numpy(bias.astype(np.float32)))


@dataclass(frozen=True, slots=True)
class Moments:
    """Second moments of pairs, all that a linear least-squares fit needs, whatever the number of rows."""

    rows: int
    target_mean: Matrix  # [dt]
    source_source: Matrix  # [ds, ds], of centred sources
    source_target: Matrix  # [ds, dt], of centred sources and targets
    target_power: float  # summed squared length of centred targets


def measure_moments(batches: Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Moments:
    """Accumulate moments over batches of prepared sources [n, ds] (mean zero) and unit targets [n, dt]."""
    rows, sums = 0, None
    for source, target in batches:
        x, y = source.astype(np.float64), target.astype(np.float64)
        terms = (x.sum(0), y.sum(0), _product(x.T, x), _product(x.T, y), float((y**2).sum()))
        sums = terms if sums is None else tuple(a + b for a, b in zip(sums, terms, strict=True))
        rows += len(x)
    if sums is None:
        raise ValueError("no pairs")
    sx, sy, xx, xy, yy = sums
    return Moments(
        rows=rows,
        target_mean=sy / rows,
        source_source=xx - np.outer(sx, sx) / rows,
        source_target=xy - np.outer(sx, sy) / rows,
        target_power=yy - float(sy @ sy) / rows,
    )


def solve_ridge(moments: Moments, ridge: float) -> tuple[Matrix, Matrix]:
    """Least squares with an L2 penalty `ridge` x rows; weight [ds, dt] and bias [dt]."""
    penalty = ridge * moments.rows * np.eye(len(moments.source_source))
    left, right = (torch.from_numpy(side) for side in (moments.source_source + penalty, moments.source_target))
    weight: Matrix = torch.linalg.solve(left, right).numpy()
    return weight, moments.target_mean


def solve_procrustes(moments: Moments) -> tuple[Matrix, Matrix]:
    """The orthogonal map nearest to the pairs (Schönemann, 1966), with one scale; weight [ds, dt], bias [dt].

    Of unequal dimensions it is the semi-orthogonal map whose products with the targets sum highest, which is then not
    quite the nearest: that one has no closed form.
    The scale matters because the bias is added after it, before normalisation.
    """
    u, singular, vt = torch.linalg.svd(torch.from_numpy(moments.source_target), full_matrices=False)
    rotation: Matrix = (u @ vt).numpy()
    power = float(np.trace(rotation.T @ moments.source_source @ rotation))
    weight: Matrix = rotation * (float(singular.sum()) / power)
    return weight, moments.target_mean


def _product(left: Matrix, right: Matrix) -> Matrix:
    """By torch, as all algebra here: in as many threads as it is told to, which numpy cannot be."""
    product: Matrix = (torch.from_numpy(left) @ torch.from_numpy(right)).numpy()
    return product
