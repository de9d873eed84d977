"""One process's part of a training that several share, so that together they compute what one alone would.

Each iteration every process takes its rows of the batch. What depends on the whole batch is exchanged: the statistics
of batch norm, outputs whose loss compares rows with each other, gradients before an optimiser's step.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from training.algorithm1 import Optimizer
from training.errors import ConfigError
from training.hardware import Precision
from training.shared_layers import all_reduce, share_layers

Network = TypeVar("Network", bound=nn.Module)

CPU = torch.device("cpu")

# Half precision ends at 6e-8, above many gradients (Micikevicius et al., 2018, section 3.2).
FLOAT16_SCALE = 4096.0


@dataclass(frozen=True, slots=True)
class Parallel:
    """The place of this process among `world_size`, its device and precision. The default, alone, changes nothing."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = CPU
    precision: Precision = Precision.FULL
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext

    def place(self, network: Network) -> Network:
        """Move a network to the device, and let its layers see the whole batch; its state dict stays as it is."""
        if self.world_size > 1:
            share_layers(network, self.rank, self.world_size, self.device)
        return network.to(self.device)

    def passes(self, network: nn.Module) -> nn.Module:
        """A network whose passes have this precision, from and to float32."""
        return network if self.precision is Precision.FULL else _MixedPrecision(network, self)

    def optimizer(self, optimizer: Optimizer, parameters: list[nn.Parameter]) -> Optimizer:
        """An optimiser that steps by the whole batch's gradients."""
        if self.world_size == 1 and self.gradient_scale == 1:
            return optimizer
        return _SharedOptimizer(optimizer, parameters, self)

    @property
    def gradient_scale(self) -> float:
        """What gradients are multiplied with during the backward pass."""
        return FLOAT16_SCALE if self.precision is Precision.FLOAT16 else 1.0

    def share(self, batch: Tensor) -> Tensor:
        """This process's rows [n / world_size, ...] of a batch [n, ...], on its device. Raises ConfigError."""
        check_shares(len(batch), self.world_size)
        rows = len(batch) // self.world_size
        return batch[self.rank * rows : (self.rank + 1) * rows].to(self.device)

    def gather(self, rows: Tensor) -> Tensor:
        """The batch [n, d] of every process's rows [n / world_size, d], differentiable."""
        if self.world_size == 1:
            return rows
        before, after = self.rank * len(rows), (self.world_size - 1 - self.rank) * len(rows)
        return all_reduce(pad(rows, (0, 0, before, after)))

    def mean(self, losses: dict[str, float]) -> dict[str, float]:
        """Losses over the whole batch, from those over each process's rows."""
        if self.world_size == 1:
            return losses
        total = all_reduce(torch.tensor(list(losses.values()), dtype=torch.float64, device=self.device)).tolist()
        return {name: loss / self.world_size for name, loss in zip(losses, total, strict=True)}

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in one of the processes."""
        if self.world_size == 1:
            return flag
        return bool(all_reduce(torch.tensor(float(flag), device=self.device)).item())


ALONE = Parallel()


def check_shares(batch_rows: int, devices: int) -> None:
    """Raises ConfigError for a batch that devices cannot share equally: their means would not be the batch's."""
    if batch_rows % devices:
        raise ConfigError(f"--devices {devices}: batches of {batch_rows} rows cannot be shared equally")


class _SharedOptimizer:
    """Averages gradients over the processes, and takes their scale away, before each step of an optimiser."""

    def __init__(self, optimizer: Optimizer, parameters: list[nn.Parameter], parallel: Parallel) -> None:
        self._optimizer = optimizer
        self._parameters = parameters
        self._parallel = parallel

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self._optimizer.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        self._optimizer.zero_grad(set_to_none)

    @torch.no_grad()
    def step(self) -> None:
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])  # one exchange instead of hundreds
        if self._parallel.world_size > 1:
            flat = all_reduce(flat)
        flat /= self._parallel.world_size * self._parallel.gradient_scale
        if self._parallel.gradient_scale != 1 and not flat.isfinite().all():
            return  # beyond half precision's range: this batch is passed over
        for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))
        self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return self._optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._optimizer.load_state_dict(state)


class _MixedPrecision(nn.Module):
    """Runs a network in autocast. Gradients are scaled inside it alone, so that losses stay as they are written."""

    def __init__(self, network: nn.Module, parallel: Parallel) -> None:
        super().__init__()
        self.network = network
        self._parallel = parallel

    def forward(self, inputs: Tensor) -> Tensor:
        scale = self._parallel.gradient_scale
        with self._parallel.autocast():
            outputs: Tensor = self.network(_scale_gradient(inputs, 1 / scale))
        return _scale_gradient(outputs.float(), scale)


def _scale_gradient(tensor: Tensor, factor: float) -> Tensor:
    if factor == 1 or not tensor.requires_grad:
        return tensor
    same = tensor.view_as(tensor)  # a node of its own: other uses of the tensor are not scaled
    same.register_hook(lambda gradient: gradient * factor)  # type: ignore[no-untyped-call]  # torch's own
    return same
