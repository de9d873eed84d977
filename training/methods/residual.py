"""`residual`: an MLP on top of the ridge solution, told to be near the target and nearer than to anyone else's."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.optim import AdamW

from training.losses import contrastive_loss, direction_loss
from training.methods.base import Fit, chunks, seeded
from training.methods.convergence import converged
from training.methods.features import Examples, FeatureLearner
from training.methods.linear import measure
from training.models.linear import Moments, solve_ridge
from training.models.residual import Residual
from training.models.translator import Translator

RIDGE = 0.1  # of the solution to start from; the start is improved on, not chosen
LINEAR_RATE_FACTOR = 0.1  # the linear part begins at its optimum
SQUARE_WEIGHT = 0.1  # of the squared distance, which keeps the spread beside the direction


def fit_residual(fit: Fit) -> Translator:
    """Train the MLP on the pairs, with AdamW and the configured weight of the contrast. Raises as `learn_residual`."""
    with seeded(fit.config.seed):
        network = Residual(*fit.dims)
    moments = measure(fit, fit.rows)
    translator = learn_residual(fit, network, moments)
    _restore_spread(translator, fit, _spread(moments))
    return translator


def learn_residual(fit: Fit, network: Residual, moments: Moments, examples: Examples | None = None) -> Translator:
    """Train the network from the ridge solution on, on the fit's own pairs unless there are other examples.

    Raises:
        DivergedError: it learns nothing.
    """
    _start_at_ridge(network, moments)
    config = fit.config
    groups: list[dict[str, Any]] = [
        {"params": list(network.mlp.parameters())},
        {"params": list(network.linear.parameters()), "rate_factor": LINEAR_RATE_FACTOR},
    ]
    optimizer = AdamW(groups, config.learning_rate, betas=(config.momentum, 0.999), weight_decay=config.weight_decay)
    loss = partial(
        _loss, mean=network.target_mean.clone(), spread=float(network.spread), contrast=config.contrast_weight
    )
    learner = FeatureLearner(fit, network, optimizer, loss, examples)
    fit.learn(learner)
    return converged(learner.translator(), fit)


def _spread(moments: Moments) -> float:
    """Root mean squared length of centred unit-length targets."""
    return float((moments.target_power / moments.rows) ** 0.5)


@torch.no_grad()
def _start_at_ridge(network: Residual, moments: Moments) -> None:
    weight, mean = solve_ridge(moments, RIDGE)
    spread = _spread(moments)
    network.target_mean.copy_(torch.from_numpy(mean))
    network.spread.fill_(spread)
    network.linear.weight.copy_(torch.from_numpy(weight.T / spread))
    network.linear.bias.zero_()


def _loss(translated: Tensor, targets: Tensor, *, mean: Tensor, spread: float, contrast: float) -> Tensor:
    unit = normalize(targets)  # [n, dt]; the learner scales targets for methods that learn them as they are
    mean = mean.to(translated.device)
    found, sought = (translated - mean) / spread, (unit - mean) / spread  # [n, dt], centred and of length 1 on average
    loss = direction_loss(sought, found) + SQUARE_WEIGHT * (found - sought).square().sum(dim=1).mean()
    return loss + contrast * contrastive_loss(unit, normalize(translated)) if contrast else loss


@torch.no_grad()
def _restore_spread(translator: Translator, fit: Fit, spread: float) -> None:
    """Give translations the spread of targets: a least-squares fit has less, a contrast more."""
    network = translator.network
    assert isinstance(network, Residual)  # noqa: S101 - for the type checker
    power = 0.0
    for rows in chunks(fit.rows):
        translated = network(translator.prepare(torch.from_numpy(fit.sources(rows))))
        power += float((translated - network.target_mean).square().sum())
    network.spread.mul_(spread / (power / len(fit.rows)) ** 0.5)
