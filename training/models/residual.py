"""A linear map and an MLP that learns what the map leaves over."""

import torch
from torch import Tensor, nn

HIDDEN = 1024
DROPOUT = 0.5


class Residual(nn.Module):
    """mean + spread x (linear(x) + mlp(x)), with the MLP silent at first: [N, ds] prepared features to [N, dt].

    Mean and spread are those of the target space, so that the parts learn in units of one. They count: where a space
    is not centred, a translation of too little spread is all mean, and every face resembles every other.
    """

    target_mean: Tensor
    spread: Tensor

    def __init__(self, source_dim: int, target_dim: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.register_buffer("target_mean", torch.zeros(target_dim))
        self.register_buffer("spread", torch.tensor(1.0))
        self.linear = nn.Linear(source_dim, target_dim)
        last = nn.Linear(HIDDEN, target_dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(nn.Linear(source_dim, HIDDEN), nn.GELU(), nn.Dropout(dropout), last)

    def forward(self, features: Tensor) -> Tensor:
        """Translate prepared features."""
        deviation = self.linear(features) + self.mlp(features)  # [N, dt]
        translated: Tensor = self.target_mean + self.spread * deviation
        return translated


def Student(source_dim: int, target_dim: int) -> Residual:  # noqa: N802 - stands where a network's class does
    """The network of `distilled`: no dropout, for a student with pairs without end has nothing to over-fit to."""
    return Residual(source_dim, target_dim, dropout=0.0)
