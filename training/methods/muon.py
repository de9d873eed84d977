"""Muon for convolutions: momentum whose steps are orthogonalised, so that no direction of a kernel lags behind."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon


class MuonAdamW:
    """Muon (Jordan et al., 2024) for kernels that mix channels, as matrices [fewer channels, rest]; AdamW for all else.

    Biases, batch norm, depthwise kernels and the last layer are no matrices in Muon's sense.
    """

    def __init__(self, parameters: list[nn.Parameter], *, rate: float, matrix_rate: float, weight_decay: float) -> None:
        self._parameters = parameters
        self._kernels = [p for p in parameters if mixes_channels(p)]
        self._matrices = [_matrix(p.detach()).clone() for p in self._kernels]
        others = [p for p in parameters if not mixes_channels(p)]
        matrices = {"params": self._matrices, "rate_factor": matrix_rate / rate}
        self._muon = Muon([matrices], lr=matrix_rate, weight_decay=weight_decay)
        self._adamw = AdamW(others, lr=rate, weight_decay=weight_decay)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Both optimisers' groups, for schedules; `rate_factor` is what a group's rate is multiplied with."""
        return [*self._muon.param_groups, *self._adamw.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget gradients."""
        for parameter in self._parameters:
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()

    @torch.no_grad()
    def step(self) -> None:
        """One update of all parameters from their gradients."""
        for kernel, matrix in zip(self._kernels, self._matrices, strict=True):
            matrix.copy_(_matrix(kernel))  # a copy: a kernel that is laid out channels last has no such view
            matrix.grad = None if kernel.grad is None else _matrix(kernel.grad)
        self._muon.step()  # type: ignore[no-untyped-call]  # torch's own
        for kernel, matrix in zip(self._kernels, self._matrices, strict=True):
            kernel.copy_(_kernel(matrix, kernel.shape))
        self._adamw.step()

    def state_dict(self) -> dict[str, Any]:
        """Both optimisers' states."""
        return {"muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self._muon.load_state_dict(state["muon"])
        self._adamw.load_state_dict(state["adamw"])


def mixes_channels(parameter: Tensor) -> bool:
    """Whether a parameter is a convolution's kernel and not a depthwise one."""
    return parameter.dim() == 4 and parameter.shape[1] > 1


def _matrix(kernel: Tensor) -> Tensor:
    """A kernel [a, b, H, W] as [min(a, b), rest]: the cost of orthogonalising grows with the square of the rows."""
    return (kernel if kernel.shape[0] <= kernel.shape[1] else kernel.transpose(0, 1)).flatten(1)


def _kernel(matrix: Tensor, shape: torch.Size) -> Tensor:
    a, b, *sides = shape
    return matrix.view(shape) if a <= b else matrix.view(b, a, *sides).transpose(0, 1)
