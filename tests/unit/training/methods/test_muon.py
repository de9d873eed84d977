"""Muon steps on kernels, AdamW on all else, whatever their layout, and a state that goes on."""

import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW

from training.methods.gradient import set_learning_rate
from training.methods.muon import MuonAdamW, mixes_channels

RATE, MATRIX_RATE, DECAY = 1e-3, 0.02, 0.1


def network() -> nn.Sequential:
    """A kernel, a depthwise one, batch norm and a last layer."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8 * 16, 5))


def optimizer_of(net: nn.Module) -> MuonAdamW:
    return MuonAdamW(list(net.parameters()), rate=RATE, matrix_rate=MATRIX_RATE, weight_decay=DECAY)


def images(seed: int) -> Tensor:
    return torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def descend(net: nn.Module, optimizer: MuonAdamW, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        net(images(step)).square().mean().backward()
        optimizer.step()


def as_matrix(kernel: Tensor) -> NDArray[np.float64]:
    """The first kernel [8, 3, 3, 3] as [3, 8 x 9]: its fewer channels, the inputs, are the rows."""
    return np.moveaxis(kernel.numpy().astype(np.float64), 1, 0).reshape(3, -1)


def orthogonalised(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Five Newton-Schulz iterations, as Jordan et al. give them, on a wide matrix."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / np.linalg.norm(matrix)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def test_a_kernels_first_step_is_its_orthogonalised_gradient() -> None:
    net = network()
    kernel = net[0].weight
    before = as_matrix(kernel.detach()).copy()
    descend(net, optimizer_of(net), range(1))
    expected = before * (1 - MATRIX_RATE * DECAY) - MATRIX_RATE * orthogonalised(as_matrix(kernel.grad))
    moved = np.abs(expected - before).max()
    np.testing.assert_allclose(as_matrix(kernel.detach()), expected, atol=0.1 * moved)  # torch computes it in bfloat16


def test_all_else_steps_as_adamw_does() -> None:
    net, other = network(), network()
    adamw = AdamW([p for p in other.parameters() if not mixes_channels(p)], lr=RATE, weight_decay=DECAY)
    descend(net, optimizer_of(net), range(1))
    other(images(0)).square().mean().backward()
    adamw.step()
    for found, expected in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(found, expected) is not mixes_channels(found)


def test_a_kernels_layout_in_memory_does_not_matter() -> None:
    plain, last = network(), network().to(memory_format=torch.channels_last)
    for net in (plain, last):
        descend(net, optimizer_of(net), range(3))
    assert last[0].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last[0].weight, plain[0].weight, rtol=0, atol=1e-3)


def test_a_restored_state_goes_on_to_the_same_weights() -> None:
    whole = network()
    descend(whole, optimizer_of(whole), range(6))
    halved = network()
    first = optimizer_of(halved)
    descend(halved, first, range(3))
    saved, weights = copy.deepcopy(first.state_dict()), copy.deepcopy(halved.state_dict())
    resumed = network()
    resumed.load_state_dict(weights)
    second = optimizer_of(resumed)
    second.load_state_dict(saved)
    descend(resumed, second, range(3, 6))
    assert all(map(torch.equal, resumed.parameters(), whole.parameters()))


def test_a_schedule_moves_both_rates_in_proportion() -> None:
    optimizer = optimizer_of(network())
    set_learning_rate(optimizer, RATE / 4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([MATRIX_RATE / 4, RATE / 4])


def test_a_parameter_without_gradient_stays() -> None:
    net = network()
    before = copy.deepcopy(list(net.parameters()))
    optimizer_of(net).step()
    assert all(map(torch.equal, net.parameters(), before))
