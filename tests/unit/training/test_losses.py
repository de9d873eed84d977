"""Equations 4 to 9 against plain loops in float64, and the signs that the paper prints the wrong way round."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from training.losses import (
    adversarial_loss,
    contrastive_loss,
    direction_loss,
    discriminator_loss,
    generator_loss,
    reconstruction_loss,
    regression_loss,
    representation_loss,
)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mean_distance(a: Tensor, b: Tensor) -> float:
    """E ||a - b||_2 by loops."""
    total = 0.0
    for row_a, row_b in zip(a.flatten(1).tolist(), b.flatten(1).tolist(), strict=True):
        total += math.sqrt(sum((x - y) ** 2 for x, y in zip(row_a, row_b, strict=True)))
    return total / len(a)


def mean_log(logits: Tensor, *, of_one_minus: bool = False) -> float:
    """E log D, or E log (1 - D), by loops over D = sigmoid(logit)."""
    probabilities = [1 / (1 + math.exp(-logit)) for logit in logits.tolist()]
    return float(np.mean([math.log(1 - p if of_one_minus else p) for p in probabilities]))


def test_equation_4_is_the_mean_distance_of_faces() -> None:
    faces, generated = draw(5, 3, 4, 4, seed=0), draw(5, 3, 4, 4, seed=1)
    assert reconstruction_loss(faces, generated).item() == pytest.approx(mean_distance(faces, generated), rel=1e-12)


@pytest.mark.parametrize("loss", [representation_loss, regression_loss])
def test_equations_8_and_9_are_the_mean_distance_of_features(loss: object) -> None:
    assert callable(loss)
    y, z = draw(7, 6, seed=0), draw(7, 6, seed=1)
    assert loss(y, z).item() == pytest.approx(mean_distance(y, z), rel=1e-12)


def test_the_distance_is_the_norm_and_not_its_square() -> None:
    y, z = draw(7, 6, seed=0), draw(7, 6, seed=1)
    assert regression_loss(3 * y, 3 * z).item() == pytest.approx(3 * regression_loss(y, z).item(), rel=1e-12)


def test_equation_5_negated_is_what_d_descends() -> None:
    real, generated = draw(6, seed=0), draw(6, seed=1)
    oracle = -mean_log(real) - mean_log(generated, of_one_minus=True)
    assert discriminator_loss(real, generated).item() == pytest.approx(oracle, rel=1e-12)


def test_equation_6_in_its_non_saturating_form() -> None:
    generated = draw(6, seed=1)
    assert adversarial_loss(generated).item() == pytest.approx(-mean_log(generated), rel=1e-12)


def test_equation_7_weighs_equations_4_and_6() -> None:
    faces, generated, logits = draw(5, 3, 4, 4, seed=0), draw(5, 3, 4, 4, seed=1), draw(5, seed=2)
    loss = generator_loss(faces, generated, logits, reconstruction=0.3, adversarial=0.07)
    assert loss.item() == pytest.approx(0.3 * mean_distance(faces, generated) - 0.07 * mean_log(logits), rel=1e-12)


def test_ds_loss_falls_when_d_is_right() -> None:
    unsure, sure = torch.zeros(4), torch.full((4,), 3.0)
    assert discriminator_loss(sure, -sure) < discriminator_loss(unsure, unsure) < discriminator_loss(-sure, sure)


def test_gs_adversarial_step_raises_d_of_g() -> None:
    logits = draw(6, seed=0).requires_grad_()
    (gradient,) = torch.autograd.grad(adversarial_loss(logits), logits)
    assert (gradient < 0).all(), "descending it must raise the probability that a painted face is real"


def test_gs_adversarial_gradient_is_strongest_where_d_is_surest() -> None:
    logits = torch.tensor([-8.0, 0.0, 8.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(adversarial_loss(logits), logits)
    assert gradient.abs().argsort(descending=True).tolist() == [0, 1, 2], "a caught G must not stop learning"


def test_the_direction_loss_is_one_minus_the_cosine() -> None:
    y, z = draw(7, 6, seed=0), draw(7, 6, seed=1)
    cosines = [np.dot(a, b) / math.hypot(*a) / math.hypot(*b) for a, b in zip(y.tolist(), z.tolist(), strict=True)]
    assert direction_loss(y, z).item() == pytest.approx(1 - np.mean(cosines), rel=1e-12)


def test_the_contrastive_loss_is_the_surprise_at_finding_each_target_among_all() -> None:
    y, z = (torch.nn.functional.normalize(draw(7, 6, seed=seed)) for seed in (0, 1))
    likelihoods = np.exp(z.numpy() @ y.numpy().T / 0.05)
    expected = -np.mean(np.log(np.diag(likelihoods) / likelihoods.sum(axis=1)))
    assert contrastive_loss(y, z).item() == pytest.approx(expected, rel=1e-12)


def test_losses_stay_finite_for_extreme_logits() -> None:
    logits = torch.tensor([-1e4, 1e4])
    assert torch.isfinite(discriminator_loss(logits, logits))
    assert torch.isfinite(adversarial_loss(logits))


def test_a_perfect_translation_has_no_loss_and_a_finite_gradient() -> None:
    y = draw(3, 6, seed=0).requires_grad_()
    loss = regression_loss(y.detach(), y)
    assert loss.item() == 0
    (gradient,) = torch.autograd.grad(loss, y)
    assert torch.isfinite(gradient).all()
