"""Layers that see the batch that several processes share: batch norm and dropout."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.nn.functional import dropout


def all_reduce(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all processes, differentiable: each one's gradient is the sum of all of theirs."""
    total: Tensor = _AllReduce.apply(tensor)  # type: ignore[no-untyped-call]  # torch's own
    return total


class _AllReduce(Function):
    @staticmethod
    def forward(_: Any, tensor: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        total = tensor.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - as above
        return all_reduce(gradient)


def share_layers(network: nn.Module, rank: int, world_size: int, device: torch.device) -> None:
    """Replace batch norm and dropout inside a network; parameters, buffers and their names stay.

    On GPUs batch norm becomes torch's own SyncBatchNorm, which knows no CPU.
    """
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]  # torch's own
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Dropout):
                setattr(parent, name, _SharedDropout(layer.p, rank, world_size))
            elif isinstance(layer, nn.BatchNorm2d):
                setattr(parent, name, _SharedBatchNorm(layer, world_size))


class _SharedDropout(nn.Module):
    """Draws the mask of the whole batch, which is that of one process, and applies its rows."""

    def __init__(self, p: float, rank: int, world_size: int) -> None:
        super().__init__()
        self.p, self.rank, self.world_size = p, rank, world_size

    def forward(self, x: Tensor) -> Tensor:
        """[n / world_size, ...] to the same."""
        if not self.training:
            return x
        mask = dropout(x.new_ones(len(x) * self.world_size, *x.shape[1:]), self.p)  # [n, ...]
        return x * mask[self.rank * len(x) : (self.rank + 1) * len(x)]


class _SharedBatchNorm(nn.Module):
    """Batch norm of [N, C, H, W] by the statistics of all processes' rows, each of which has as many."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, layer: nn.BatchNorm2d, world_size: int) -> None:
        super().__init__()
        self.world_size, self.eps, self.momentum = world_size, layer.eps, layer.momentum or 0.0
        self.weight, self.bias = layer.weight, layer.bias
        for name, buffer in layer.named_buffers():
            self.register_buffer(name, buffer)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; by the running statistics when not training."""
        if not self.training:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        values = x.to(self.weight.dtype)  # under autocast x may be of half precision
        mean = all_reduce(values.mean((0, 2, 3))) / self.world_size  # [C]
        centred = values - mean[:, None, None]
        variance = all_reduce(centred.square().mean((0, 2, 3))) / self.world_size  # [C]
        self._remember(mean, variance, x.numel() // x.shape[1] * self.world_size)
        factor = self.weight * torch.rsqrt(variance + self.eps)  # [C]
        return (centred * factor[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, values: int) -> None:
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (values / (values - 1)), self.momentum)  # unbiased, as torch's
        self.num_batches_tracked += 1
