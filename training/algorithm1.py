"""Algorithm 1: how G, E and D are optimised, in the paper's order and in one fused step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from torch.autograd import backward

from training.losses import (
    adversarial_loss,
    discriminator_loss,
    generator_loss,
    reconstruction_loss,
    regression_loss,
    representation_loss,
)


class Optimizer(Protocol):
    """What a step needs of an optimiser, and a training of its state: torch's have it."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters, each with its rate `lr`."""
        ...

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget gradients."""
        ...

    def step(self) -> Any:  # noqa: ANN401 - torch's returns what a closure returned
        """Update the parameters from their gradients."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        ...


@dataclass(frozen=True, slots=True)
class Players:
    """G, E and D, as they are or wrapped in a precision, and their optimisers."""

    generator: nn.Module
    extractor: nn.Module
    discriminator: nn.Module
    generator_optimizer: Optimizer
    extractor_optimizer: Optimizer
    discriminator_optimizer: Optimizer


@dataclass(frozen=True, slots=True)
class Batch:
    """Prepared sources x [N, ds], faces i [n, 3, 56, 56] in [-1, 1] of the first n, targets y [N, dt]."""

    sources: Tensor
    faces: Tensor
    targets: Tensor


@dataclass(frozen=True, slots=True)
class Weights:
    """Eq. 10's lambdas. A zero leaves the path out, which gives Table 3's architectures."""

    reconstruction: float
    adversarial: float
    representation: float
    regression: float

    @property
    def look_at_faces(self) -> bool:
        """Whether any path needs real faces."""
        return bool(self.reconstruction or self.adversarial or self.representation)


Losses = dict[str, float]
Step = Callable[[Players, Batch, Weights], Losses]


def sequential_step(players: Players, batch: Batch, weights: Weights) -> Losses:
    """Lines 5-12 of Algorithm 1: D, then G, then E, then G and E jointly, four updates from four forward passes."""
    x, i, y = batch.sources, batch.faces, batch.targets
    generator, extractor, discriminator = players.generator, players.extractor, players.discriminator
    losses: Losses = {}

    if weights.adversarial:  # line 6: for discriminator D
        loss = discriminator_loss(discriminator(i), discriminator(generator(x).detach()))
        losses["discriminator"] = _update(loss, players.discriminator_optimizer)

    if weights.adversarial or weights.reconstruction:  # line 8: for generator G
        generated = generator(x)
        loss = generator_loss(
            i,
            generated[: len(i)],
            discriminator(generated),
            reconstruction=weights.reconstruction,
            adversarial=weights.adversarial,
        )
        losses["generator"] = _update(loss, players.generator_optimizer)

    if weights.representation:  # line 10: for extractor E
        loss = weights.representation * representation_loss(y[: len(i)], extractor(i))
        losses["representation"] = _update(loss, players.extractor_optimizer)

    if weights.regression:  # line 12: for generator G and extractor E
        loss = weights.regression * regression_loss(y, extractor(generator(x)))
        losses["regression"] = _update(loss, players.generator_optimizer, players.extractor_optimizer)
    return losses


def fused_step(players: Players, batch: Batch, weights: Weights) -> Losses:
    """One simultaneous update of D, G and E that paints each face once and shows it to D once.

    At equal weights the gradients are the sum of `sequential_step`'s four losses' gradients; a test proves it.
    """
    x, i, y = batch.sources, batch.faces, batch.targets
    generated = players.generator(x)
    losses: Losses = {}
    terms: list[Tensor] = []
    for optimizer in (players.generator_optimizer, players.extractor_optimizer, players.discriminator_optimizer):
        optimizer.zero_grad(set_to_none=True)

    if weights.adversarial:
        generated_logits = players.discriminator(generated)
        caught = discriminator_loss(players.discriminator(i), generated_logits)
        # `inputs` keeps D's loss out of G, and further down G's loss out of D, though both share one pass.
        backward(caught, inputs=list(players.discriminator.parameters()), retain_graph=True)
        losses["discriminator"] = caught.item()
        terms.append(weights.adversarial * adversarial_loss(generated_logits))
    if weights.reconstruction:
        terms.append(weights.reconstruction * reconstruction_loss(i, generated[: len(i)]))
    if terms:
        losses["generator"] = sum(term.item() for term in terms)
    if weights.representation:
        terms.append(weights.representation * representation_loss(y[: len(i)], players.extractor(i)))
        losses["representation"] = terms[-1].item()
    if weights.regression:
        terms.append(weights.regression * regression_loss(y, players.extractor(generated)))
        losses["regression"] = terms[-1].item()

    learners = [*players.generator.parameters(), *players.extractor.parameters()]
    backward(sum(terms[1:], terms[0]), inputs=learners)
    if weights.adversarial:
        players.discriminator_optimizer.step()
    players.generator_optimizer.step()
    players.extractor_optimizer.step()
    return losses


def _update(loss: Tensor, *optimizers: Optimizer) -> float:
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    backward(loss)
    for optimizer in optimizers:
        optimizer.step()
    return loss.item()
