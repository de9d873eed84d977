"""Optimisers, schedules and weight averages shared by the methods that descend gradients."""

import math

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW
from torch.optim.swa_utils import AveragedModel

from training.algorithm1 import Optimizer
from training.config import FitConfig
from training.methods.muon import MuonAdamW

Tensors = tuple[Tensor, ...] | list[Tensor]

# The average forgets the random start: its decay is at most (1 + n) / (10 + n) after n updates.
AVERAGE_WARMUP = 10


def make_optimizer(parameters: list[nn.Parameter], config: FitConfig) -> Optimizer:
    """The configured optimiser over all parameters."""
    if config.optimizer == "sgd":
        return SGD(parameters, config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay)
    if config.optimizer == "muon":
        rates = {"rate": config.learning_rate, "matrix_rate": config.matrix_learning_rate}
        return MuonAdamW(parameters, **rates, weight_decay=config.weight_decay)
    return AdamW(parameters, config.learning_rate, betas=(config.momentum, 0.999), weight_decay=config.weight_decay)


def learning_rate(config: FitConfig, iteration: int) -> float:
    """The rate at an iteration counted from 0: linear warm-up, then cosine to zero or division by 10 at milestones."""
    warmup = min(1.0, (iteration + 1) / config.warmup_iterations) if config.warmup_iterations else 1.0
    if config.schedule == "steps":
        passed = sum(iteration >= milestone for milestone in config.milestones)
        return config.learning_rate * warmup / 10.0**passed
    return config.learning_rate * warmup * (1 + math.cos(math.pi * iteration / config.iterations)) / 2


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Apply a rate to all parameter groups, to each by its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate_factor", 1.0)


class Average:
    """Exponential moving average of a network's weights and buffers; decay 0 keeps the last weights."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = AveragedModel(network, multi_avg_fn=self._take_in, use_buffers=True)

    def update(self, network: nn.Module) -> None:
        """Take in one more update; the first is taken whole."""
        self.average.update_parameters(network)

    @property
    def network(self) -> nn.Module:
        """The averaged network."""
        return self.average.module

    @torch.no_grad()
    def _take_in(self, averages: Tensors, latest: Tensors, updates: Tensor | int) -> None:
        share = 1 - min(self.decay, (1 + int(updates)) / (AVERAGE_WARMUP + int(updates)))
        for average, tensor in zip(averages, latest, strict=True):
            if average.is_floating_point():
                average.lerp_(tensor, share)
            else:  # batch norm's count of batches
                average.copy_(tensor)
