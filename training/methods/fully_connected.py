"""`fc`: the paper's naive MLP, trained on Eq. 9 alone."""

from typing import Any

import torch
from torch.nn.functional import normalize

from training.loop import Losses
from training.losses import regression_loss
from training.methods.base import Batches, Fit, preparation
from training.methods.gradient import Average, learning_rate, make_optimizer, mix, set_learning_rate
from training.models.fully_connected import FullyConnected
from training.models.translator import Translator


def fit_fully_connected(fit: Fit) -> Translator:
    """Train the MLP with the configured optimiser."""
    learner = FullyConnectedLearner(fit)
    fit.learn(learner)
    return learner.translator()


class FullyConnectedLearner:
    """An MLP, its optimiser and its batches."""

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self.batches = Batches(fit.rows, fit.config.batch_rows, fit.config.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(fit.config.seed)
            self.network = FullyConnected(*fit.dims)
        self.optimizer = make_optimizer(list(self.network.parameters()), fit.config)
        self.average = Average(self.network, fit.config.average_decay)
        self.preparation = preparation(fit)
        self.prepare = Translator(*self.preparation, self.network).prepare

    def learn(self, iteration: int) -> Losses:
        """One update on Eq. 9."""
        config = self.fit.config
        set_learning_rate(self.optimizer, learning_rate(config, iteration))
        rows = self.batches.at(iteration)
        sources = torch.from_numpy(self.fit.sources(rows))  # [n, ds]
        targets = torch.from_numpy(self.fit.scaled_targets(rows))  # [n, dt]
        if config.mix_faces:
            generator = torch.Generator().manual_seed(config.seed * 1_000_003 + iteration)
            sources, targets = mix(generator, normalize(sources), targets)
            targets = normalize(targets) * targets.shape[1] ** 0.5
        self.network.train()
        loss = regression_loss(targets, self.network(self.prepare(sources)))
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
