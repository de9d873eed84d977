"""`r3an`, `r3an-linear` and Table 3's architectures: G, E and D trained by Algorithm 1."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from training.algorithm1 import Batch, Optimizer, Players, Weights, fused_step, sequential_step
from training.errors import DataError
from training.loop import Losses
from training.methods.base import Batches, Fit, Rows, measure_target_mean, preparation, seeded
from training.methods.convergence import converged
from training.methods.gradient import Average, learning_rate, make_optimizer, set_learning_rate
from training.methods.interpolation import Interpolations
from training.methods.linear import fit_affine
from training.methods.soft_targets import soft_targets
from training.models.discriminator import Discriminator
from training.models.linear import Linear
from training.models.r3an import R3AN, R3ANLinear
from training.models.translator import Translator
from training.pairs import IMAGE

STATISTICS_ROWS_MAX = 4096
STATISTICS_BATCH_ROWS = 64


def fit_r3an(fit: Fit) -> Translator:
    """Train E(G(x)) with the configured step and weights; returns the averaged network if an average is configured.

    Raises:
        DataError: the pairs carry no images.
        DivergedError: E(G(x)) ends no nearer to its target than the mean target is.
    """
    return _fit(fit, R3AN)


def fit_r3an_linear(fit: Fit) -> Translator:
    """Train E(G(x)) on what the affine solution leaves over; the solution stays. Raises as `fit_r3an`."""
    return _fit(fit, R3ANLinear)


def _fit(fit: Fit, network: type[R3AN | R3ANLinear]) -> Translator:
    if fit.pairs.images is None:
        reason = f"{fit.config.method} reconstructs faces and needs images"
        raise DataError(str(fit.pairs.path), reason, column=IMAGE)
    learner = R3ANLearner(fit, network)
    fit.learn(learner)
    return converged(learner.translator(), fit)


class R3ANLearner:
    """Networks, optimisers and the order of batches. Deterministic by seed on one machine."""

    def __init__(self, fit: Fit, network: type[R3AN | R3ANLinear] = R3AN) -> None:
        config = fit.config
        self.fit = fit
        self.batches = Batches(fit.rows, config.batch_rows - config.interpolated_rows, config.seed)
        self.interpolations = Interpolations(fit, fit.teacher, config.interpolated_rows) if fit.teacher else None
        self.step = fused_step if config.step == "fused" else sequential_step
        with seeded(config.seed):
            self.network = network(*fit.dims)
            self.discriminator = Discriminator()
        # Convolutions run a fifth faster with channels last on CPU; images decode to that order anyway.
        for part in (self.network, self.discriminator):
            _lay_out(part, torch.channels_last)
        _start(self.network, fit)
        for part in (self.network, self.discriminator):
            fit.parallel.place(part)
        generator, extractor = self.network.generator, self.network.extractor
        self.players = Players(
            generator=fit.parallel.passes(generator),
            extractor=fit.parallel.passes(extractor),
            discriminator=fit.parallel.passes(self.discriminator),
            generator_optimizer=self._optimizer(generator),
            extractor_optimizer=self._optimizer(extractor),
            discriminator_optimizer=self._optimizer(self.discriminator),
        )
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
        weights = self._weights(iteration)
        losses = self.step(self.players, self._batch(iteration, faces=weights.look_at_faces), weights)
        self.average.update(self.network)
        return self.fit.parallel.mean(losses)

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

    def _optimizer(self, network: nn.Module) -> Optimizer:
        parameters = list(network.parameters())
        return self.fit.parallel.optimizer(make_optimizer(parameters, self.fit.config), parameters)

    def _optimizers(self) -> tuple[Optimizer, ...]:
        p = self.players
        return p.generator_optimizer, p.extractor_optimizer, p.discriminator_optimizer

    def _weights(self, iteration: int) -> Weights:
        """Eq. 10's lambdas; those of faces count every so many iterations, and then so much more."""
        config = self.fit.config
        often = config.face_losses_interval if iteration % config.face_losses_interval == 0 else 0
        return Weights(
            often * config.reconstruction_weight,
            often * config.adversarial_weight,
            often * config.representation_weight,
            config.regression_weight,
        )

    def _batch(self, iteration: int, *, faces: bool) -> Batch:
        """Real pairs first, then interpolated ones, which have no faces; of each, this process's share."""
        share, rows = self.fit.parallel.share, self.batches.at(iteration)
        sources = [share(torch.from_numpy(self.fit.sources(rows)))]  # [n, ds]
        targets = [share(torch.from_numpy(soft_targets(self.fit, rows)))]  # [n, dt]
        if self.interpolations is not None:
            for kept, drawn in zip((sources, targets), self.interpolations.at(iteration), strict=True):
                kept.append(share(drawn))
        prepared = self.prepare(torch.cat(sources))  # [N, ds]
        sought = torch.cat(targets) * self.fit.dims[1] ** 0.5  # [N, dt]
        shown = share(self._faces(rows)) if faces else prepared.new_empty(0)  # [n, 3, 56, 56]
        return Batch(prepared, shown, self.network.left_over(prepared, sought))

    def _faces(self, rows: Rows) -> Tensor:
        images = self.fit.pairs.images
        assert images is not None  # noqa: S101 - _fit has refused pairs without images
        return scale_images(torch.from_numpy(np.asarray(images[rows])))


@torch.no_grad()
def _start(network: R3AN | R3ANLinear, fit: Fit) -> None:
    """What a least-squares solve knows is not learned: the mean target, and for `r3an-linear` the affine map."""
    scale = fit.dims[1] ** 0.5  # of targets while they are learned
    if isinstance(network, R3AN):
        network.extractor.fc.bias.copy_(torch.from_numpy(measure_target_mean(fit) * scale))
        return
    linear = fit_affine(fit).network
    assert isinstance(linear, Linear)  # noqa: S101 - for the type checker
    network.linear.weight.copy_(linear.map.weight * scale)
    network.linear.bias.copy_(linear.map.bias * scale)


def _lay_out(network: nn.Module, memory_format: torch.memory_format) -> None:
    network.to(memory_format=memory_format)  # type: ignore[call-overload]  # torch's stub lacks this form


def scale_images(images: Tensor) -> Tensor:
    """Bytes [n, 56, 56, 3] to [n, 3, 56, 56] in [-1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1
