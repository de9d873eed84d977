"""The rival is a fair one: it starts where we start, is shown what we are shown, and steps as Algorithm 1 does."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch.optim import SGD

from benchmarks.plain_algorithm1 import PlainTraining
from benchmarks.trainers import plain
from contract.manifest import Method
from tests.unit.training.samples import make_fit, sample_pairs
from training.algorithm1 import Batch, Players, Weights, sequential_step
from training.methods.r3an import R3ANLearner
from training.models.discriminator import Discriminator
from training.models.r3an import R3AN
from training.split import split_identities

SOURCE_DIM, TARGET_DIM, ROWS = 6, 5, 4
WEIGHTS = Weights(reconstruction=0.3, adversarial=0.2, representation=0.7, regression=1.1)
SETTINGS = {"learning_rate": 0.08, "momentum": 0.9, "weight_decay": 1e-3}
OURS = {"step": "sequential", "optimizer": "sgd", "learning_rate": 0.08}


def test_the_first_update_is_that_of_our_sequential_step() -> None:
    """In float64, where equal sums in another order cannot be taken for different ones."""
    torch.manual_seed(0)
    network, discriminator = R3AN(SOURCE_DIM, TARGET_DIM).double(), Discriminator().double()
    ours, our_discriminator = deepcopy(network), deepcopy(discriminator)
    before = deepcopy(network)
    x, y = torch.randn(ROWS, SOURCE_DIM).double(), torch.randn(ROWS, TARGET_DIM).double()
    faces = torch.rand(ROWS, 3, 56, 56).double() * 2 - 1

    parts = ours.generator, ours.extractor, our_discriminator
    optimizers = [
        SGD(part.parameters(), SETTINGS["learning_rate"], SETTINGS["momentum"], weight_decay=SETTINGS["weight_decay"])
        for part in parts
    ]
    losses = sequential_step(Players(*parts, *optimizers), Batch(x, faces, y), WEIGHTS)
    loss = PlainTraining(network, discriminator, WEIGHTS, **SETTINGS, iterations=10).step(x, faces, y)

    assert loss == pytest.approx(losses["regression"], rel=1e-12)
    for trained, rival in ((ours, network), (our_discriminator, discriminator)):
        torch.testing.assert_close(rival.state_dict(), trained.state_dict(), rtol=1e-9, atol=1e-12)
    moved = [not torch.equal(a, b) for a, b in zip(before.parameters(), network.parameters(), strict=True)]
    assert all(moved), "an update that changes nothing would be equal too"


def test_it_is_shown_the_same_pairs_and_starts_from_the_same_weights(tmp_path: Path) -> None:
    """On a batch of all rows their order does not count, and one iteration costs both the same loss."""
    pairs = sample_pairs(tmp_path)
    rows = len(split_identities(pairs).training)
    fit = make_fit(pairs, tmp_path / "checkpoint.pt", Method.R3AN, batch_rows=rows, **OURS)
    rival, ours = R3ANLearner(fit), R3ANLearner(fit)
    assert plain(rival)(0) == pytest.approx(ours.learn(0)["regression"], rel=1e-4)
