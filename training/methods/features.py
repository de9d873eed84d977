"""The learner of methods that look at features alone: a network, a loss, and the batches between them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from training.algorithm1 import Optimizer
from training.loop import Losses
from training.methods.base import Batches, Fit, preparation, seeded
from training.methods.gradient import Average, learning_rate, set_learning_rate
from training.models.translator import Translator

Examples = Callable[[int], tuple[Tensor, Tensor]]  # iteration to sources [n, ds] and unit-length targets [n, dt]
Loss = Callable[[Tensor, Tensor], Tensor]  # translated [n, dt] and targets [n, dt] of length sqrt(dt) to a scalar


class FeatureLearner:
    """Descends a loss between translated and target features. Deterministic by seed on one machine."""

    def __init__(
        self, fit: Fit, network: nn.Module, optimizer: Optimizer, loss: Loss, examples: Examples | None = None
    ) -> None:
        self.fit = fit
        self.network = fit.parallel.place(network)
        self.passes = fit.parallel.passes(self.network)
        self.optimizer = fit.parallel.optimizer(optimizer, list(network.parameters()))
        self.loss = loss
        self.examples = examples or self._pairs
        self.batches = Batches(fit.rows, fit.config.batch_rows, fit.config.seed)
        self.average = Average(self.network, fit.config.average_decay)
        self.preparation = preparation(fit)
        self.prepare = Translator(*self.preparation, self.network).prepare

    def learn(self, iteration: int) -> Losses:
        """One update. What is random in the network (dropout) follows from the iteration, as its batch does."""
        config, parallel = self.fit.config, self.fit.parallel
        set_learning_rate(self.optimizer, learning_rate(config, iteration))
        sources, targets = self.examples(iteration)  # [n, ds], [n, dt]
        # Of length sqrt(dt), entries are near 1 as in an encoder's raw output: Adam moves a last layer of h inputs by
        # about h x rate a step, which on entries of 1 / sqrt(dt) is mostly noise.
        targets = targets * targets.shape[1] ** 0.5
        self.network.train()
        with seeded(config.seed * 1_000_003 + iteration):
            translated = parallel.gather(self.passes(parallel.share(self.prepare(sources))))  # [n, dt]
            loss = self.loss(translated, targets.to(parallel.device))
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.average.update(self.network)
        return {"regression": loss.item()}

    def _pairs(self, iteration: int) -> tuple[Tensor, Tensor]:
        rows = self.batches.at(iteration)
        return torch.from_numpy(self.fit.sources(rows)), torch.from_numpy(self.fit.targets(rows))

    def translator(self) -> Translator:
        """The translator as trained so far."""
        network = self.average.network if self.fit.config.average_decay else self.network
        return Translator(*self.preparation, network).eval()

    def state(self) -> dict[str, Any]:
        """Weights, average and optimiser state."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self.network.load_state_dict(state["network"])
        self.average.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
