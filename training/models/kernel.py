"""Kernel ridge regression: a weighted vote of training faces by their nearness to the probe."""

from typing import Any

import torch
from torch import Tensor, nn


class Kernel(nn.Module):
    """mean + sum_i w_i exp(-gamma |x - s_i|^2), supports s [M, ds], weights w [M, dt]: prepared [N, ds] to [N, dt].

    How many supports there are is a matter of the training; loading weights takes their number.
    """

    supports: Tensor
    weights: Tensor
    target_mean: Tensor
    gamma: Tensor

    def __init__(self, source_dim: int, target_dim: int) -> None:
        super().__init__()
        self.register_buffer("supports", torch.zeros(0, source_dim))
        self.register_buffer("weights", torch.zeros(0, target_dim))
        self.register_buffer("target_mean", torch.zeros(target_dim))
        self.register_buffer("gamma", torch.tensor(1.0))
        self.register_load_state_dict_pre_hook(_take_number_of_supports)  # type: ignore[no-untyped-call]  # torch's own

    def forward(self, features: Tensor) -> Tensor:
        """Translate prepared features."""
        translated: Tensor = self.target_mean + kernel_of(features, self.supports, self.gamma) @ self.weights
        return translated


def kernel_of(features: Tensor, supports: Tensor, gamma: Tensor | float) -> Tensor:
    """exp(-gamma |x - s|^2) of features [N, d] and supports [M, d]: [N, M]."""
    squares = features.square().sum(dim=1)[:, None] + supports.square().sum(dim=1)  # [N, M]
    return torch.exp(-gamma * (squares - 2 * features @ supports.T).clamp(min=0))


def _take_number_of_supports(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    for name in ("supports", "weights"):
        saved, own = state.get(prefix + name), getattr(module, name)
        if isinstance(saved, Tensor) and saved.dim() == 2 and saved.shape[1] == own.shape[1]:
            setattr(module, name, own.new_zeros(saved.shape))
