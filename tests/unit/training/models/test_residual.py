"""The residual network starts as its linear part."""

import torch
from torch import nn

from training.models.residual import HIDDEN, Residual

SOURCE_DIM, TARGET_DIM, ROWS = 7, 5, 4


def test_its_shape_and_parameters() -> None:
    network = Residual(SOURCE_DIM, TARGET_DIM).eval()
    assert network(torch.randn(ROWS, SOURCE_DIM)).shape == (ROWS, TARGET_DIM)
    linear = SOURCE_DIM * TARGET_DIM + TARGET_DIM
    mlp = SOURCE_DIM * HIDDEN + HIDDEN + HIDDEN * TARGET_DIM + TARGET_DIM
    assert sum(p.numel() for p in network.parameters()) == linear + mlp


def test_it_starts_as_its_linear_part_around_the_mean() -> None:
    network = Residual(SOURCE_DIM, TARGET_DIM).eval()
    network.target_mean.copy_(torch.arange(5.0))
    network.spread.fill_(2.0)
    features = torch.randn(ROWS, SOURCE_DIM)
    expected = torch.arange(5.0) + 2 * nn.functional.linear(features, network.linear.weight, network.linear.bias)
    torch.testing.assert_close(network(features), expected)
