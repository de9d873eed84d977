"""The learner of methods that look at features alone: a network, a loss, and the batches between them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from training.algorithm1 import Optimizer
from training.loop import Losses
from training.methods.base import Batches, Fit, preparation, seeded
from training.methods.gradient import Average, learning_rate, mix, set_learning_rate
from training.models.translator import Translator

Loss = Callable[[Tensor, Tensor], Tensor]  # translated [n, dt] and targets [n, dt] of length sqrt(dt) to a scalar


class FeatureLearner:
    """Descends a loss between translated and target features. Deterministic by seed on one machine."""

    def __init__(self, fit: Fit, network: nn.Module, optimizer: Optimizer, loss: Loss) -> None:
        self.fit = fit
        self.network = fit.parallel.place(network)
        self.passes = fit.parallel.passes(self.network)
        self.optimizer = fit.parallel.optimizer(optimizer, list(network.parameters()))
        self.loss = loss
        self.batches = Batches(fit.rows, fit.config.batch_rows, fit.config.seed)
        self.average = Average(self.network, fit.config.average_decay)
        self.preparation = preparation(fit)
        self.prepare = Translator(*self.preparation, self.network).prepare

    def learn(self, iteration: int) -> Losses:
        """One update. What is random in the network (dropout) follows from the iteration, as its batch does."""
        config, parallel = self.fit.config, self.fit.parallel
        set_learning_rate(self.optimizer, learning_rate(config, iteration))
        rows = self.batches.at(iteration)
        sources = torch.from_numpy(self.fit.sources(rows))  # [n, ds]
        targets = torch.from_numpy(self.fit.scaled_targets(rows))  # [n, dt]
        seed = config.seed * 1_000_003 + iteration
        if config.mix_faces:
            sources, targets = mix(torch.Generator().manual_seed(seed), normalize(sources), targets)
            targets = normalize(targets) * targets.shape[1] ** 0.5
        self.network.train()
        with seeded(seed):
            translated = parallel.gather(self.passes(parallel.share(self.prepare(sources))))  # [n, dt]
            loss = self.loss(translated, targets.to(parallel.device))
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.average.update(self.network)
        return {"regression": loss.item()}

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
