"""`r3an`: G, E and D trained by Algorithm 1."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.optim.swa_utils import update_bn

from training.algorithm1 import Batch, Optimizer, Players, Weights, fused_step, sequential_step
from training.errors import DataError
from training.loop import Losses
from training.methods.base import Batches, Fit, Rows, chunks, preparation, seeded
from training.methods.gradient import Average, learning_rate, make_optimizer, mix, set_learning_rate
from training.models.discriminator import Discriminator
from training.models.r3an import R3AN
from training.models.translator import Translator
from training.pairs import IMAGE

STATISTICS_ROWS_MAX = 4096
STATISTICS_BATCH_ROWS = 64


def fit_r3an(fit: Fit) -> Translator:
    """Train E(G(x)) with the configured step and weights; returns the averaged network if an average is configured.

    Raises:
        DataError: the pairs carry no images.
    """
    if fit.pairs.images is None:
        raise DataError(str(fit.pairs.path), "r3an reconstructs faces and needs images", column=IMAGE)
    learner = R3ANLearner(fit)
    fit.learn(learner)
    return learner.translator()


class R3ANLearner:
    """Networks, optimisers and the order of batches. Deterministic by seed on one machine."""

    def __init__(self, fit: Fit) -> None:
        config = fit.config
        self.fit = fit
        self.batches = Batches(fit.rows, config.batch_rows, config.seed)
        self.weights = Weights(
            config.reconstruction_weight,
            config.adversarial_weight,
            config.representation_weight,
            config.regression_weight,
        )
        self.step = fused_step if config.step == "fused" else sequential_step
        with seeded(config.seed):
            self.network = R3AN(*fit.dims)
            self.discriminator = Discriminator()
        # Convolutions run a fifth faster with channels last on CPU; images decode to that order anyway.
        for network in (self.network, self.discriminator):
            _lay_out(network, torch.channels_last)
        generator, extractor, discriminator = self.network.generator, self.network.extractor, self.discriminator
        with torch.no_grad():  # E starts at the mean target, so that the first iterations are not spent on finding it
            extractor.fc.bias.copy_(_mean_target(fit))
        g, e, d = (make_optimizer(list(n.parameters()), config) for n in (generator, extractor, discriminator))
        self.players = Players(generator, extractor, discriminator, g, e, d)
        self.preparation = preparation(fit)
        self.prepare = Translator(*self.preparation, self.network).prepare
        self.average = Average(self.network, config.average_decay)

    def learn(self, iteration: int) -> Losses:
        """One mini-batch of Algorithm 1."""
        config = self.fit.config
        rate = learning_rate(config, iteration)
        for optimizer in self._optimizers():
            set_learning_rate(optimizer, rate)
        self.network.train()
        losses = self.step(self.players, self._batch(self.batches.at(iteration), iteration), self.weights)
        self.average.update(self.network)
        return losses

    def translator(self) -> Translator:
        """The translator as trained so far, with batch-norm statistics of the path that it serves.

        While training, E's statistics mix real faces with painted ones; a translator sees painted ones alone. They are
        measured anew on training features (Wu and Johnson, 2021, "Rethinking Batch in BatchNorm", section 3).
        """
        network = copy.deepcopy(self.average.network if self.fit.config.average_decay else self.network)
        _lay_out(network, torch.contiguous_format)
        rows = self.fit.rows[np.random.default_rng(self.fit.config.seed).permutation(len(self.fit.rows))]
        sources = torch.from_numpy(self.fit.sources(rows[:STATISTICS_ROWS_MAX]))
        update_bn(torch.split(self.prepare(sources), STATISTICS_BATCH_ROWS), network)
        return Translator(*self.preparation, network).eval()

    def state(self) -> dict[str, Any]:
        """Weights, averages and optimiser states; batches follow from the iteration alone."""
        return {
            "network": self.network.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.average.state_dict(),
            "optimizers": [o.state_dict() for o in self._optimizers()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self.network.load_state_dict(state["network"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.average.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self._optimizers(), state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def _optimizers(self) -> tuple[Optimizer, ...]:
        p = self.players
        return p.generator_optimizer, p.extractor_optimizer, p.discriminator_optimizer

    def _batch(self, rows: Rows, iteration: int) -> Batch:
        images = self.fit.pairs.images
        assert images is not None  # noqa: S101 - fit_r3an has refused pairs without images
        sources = torch.from_numpy(self.fit.sources(rows))  # [n, ds]
        targets = torch.from_numpy(self.fit.scaled_targets(rows))  # [n, dt]
        faces = scale_images(torch.from_numpy(np.asarray(images[rows])))  # [n, 3, 56, 56]
        if self.fit.config.mix_faces:
            generator = torch.Generator().manual_seed(self.fit.config.seed * 1_000_003 + iteration)
            # Mixed as unit vectors and prepared afterwards: a mixture must lie on the sphere that probes come from.
            sources, faces, targets = mix(generator, normalize(sources), faces, targets)
            targets = normalize(targets) * targets.shape[1] ** 0.5
        return Batch(self.prepare(sources), faces, targets)


def _mean_target(fit: Fit) -> Tensor:
    total = sum(fit.scaled_targets(rows).sum(axis=0, dtype=np.float64) for rows in chunks(fit.rows))
    return torch.from_numpy(np.asarray(total / len(fit.rows), np.float32))  # [dt]


def _lay_out(network: nn.Module, memory_format: torch.memory_format) -> None:
    network.to(memory_format=memory_format)  # type: ignore[call-overload]  # torch's stub lacks this form


def scale_images(images: Tensor) -> Tensor:
    """Bytes [n, 56, 56, 3] to [n, 3, 56, 56] in [-1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1
