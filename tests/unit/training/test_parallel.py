"""Processes that share batches compute what one alone computes, and half precision loses no gradient."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.optim import SGD

from training.algorithm1 import Batch, Players, Weights, fused_step
from training.hardware import Precision
from training.losses import contrastive_loss
from training.models.discriminator import Discriminator
from training.models.extractor import Extractor
from training.models.generator import Generator
from training.parallel import ALONE, Parallel

PROCESSES, ROWS, SOURCE_DIM, TARGET_DIM, STEPS = 2, 4, 6, 5, 2
WEIGHTS = Weights(reconstruction=0.3, adversarial=0.2, representation=0.7, regression=1.1)
State = dict[str, Tensor]


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def train_players(parallel: Parallel) -> tuple[State, dict[str, float]]:
    """A few steps of Algorithm 1 in float64; weights, batch-norm statistics and the last losses."""
    torch.manual_seed(0)
    networks = [n.double().train() for n in (Generator(SOURCE_DIM), Extractor(TARGET_DIM), Discriminator())]
    placed = [parallel.place(network) for network in networks]
    g, e, d = (parallel.optimizer(SGD(n.parameters(), 0.01), list(n.parameters())) for n in placed)
    players = Players(*placed, g, e, d)
    losses = {}
    for step in range(STEPS):
        whole = draw(3 * step, ROWS, SOURCE_DIM), draw(3 * step + 1, ROWS, 3, 56, 56), draw(3 * step + 2, ROWS, 5)
        losses = parallel.mean(fused_step(players, Batch(*map(parallel.share, whole)), WEIGHTS))
    return {f"{i}.{k}": v for i, n in enumerate(placed) for k, v in n.state_dict().items()}, losses


def train_contrast(parallel: Parallel) -> State:
    """A few steps of a network with dropout, by a loss that compares rows with each other."""
    torch.manual_seed(0)
    network = parallel.place(nn.Sequential(nn.Linear(SOURCE_DIM, 16), nn.Dropout(0.5), nn.Linear(16, 5)).double())
    optimizer = parallel.optimizer(SGD(network.parameters(), 0.1), list(network.parameters()))
    for step in range(STEPS):
        optimizer.zero_grad()
        translated = parallel.gather(network(parallel.share(draw(step, ROWS, SOURCE_DIM))))
        torch.autograd.backward(contrastive_loss(draw(9, ROWS, 5), translated))
        optimizer.step()
    return network.state_dict()


def work(rank: int, folder: Path) -> None:
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(str(folder / "store"), PROCESSES), rank=rank, world_size=PROCESSES
    )
    parallel = Parallel(rank, PROCESSES)
    found = train_players(parallel), train_contrast(parallel), [parallel.any(rank == r) for r in (0, 1, 2)]
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def _other(_: int, folder: Path) -> None:
    work(1, folder)


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    other = multiprocessing.spawn(_other, (tmp_path,), join=False)
    work(0, tmp_path)
    assert other is not None
    assert other.join(timeout=60)
    (state, losses), contrasted = train_players(ALONE), train_contrast(ALONE)
    for rank in range(PROCESSES):
        (found_state, found_losses), found_contrasted, flags = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(found_state, dict(state), rtol=1e-9, atol=1e-11)
        assert found_losses == pytest.approx(losses, rel=1e-9)
        torch.testing.assert_close(found_contrasted, dict(contrasted), rtol=1e-9, atol=1e-11)
        assert flags == [True, True, False]


def float16() -> Parallel:
    return Parallel(precision=Precision.FLOAT16, autocast=lambda: torch.autocast("cpu", torch.float16))


def test_half_precision_keeps_gradients_that_it_could_not_hold() -> None:
    parallel = float16()
    network = nn.Linear(4, 3)
    before = network.weight.detach().clone()
    optimizer = parallel.optimizer(SGD(network.parameters(), 1.0), list(network.parameters()))
    inputs = draw(0, 5, 4).float()
    torch.autograd.backward(1e-8 * parallel.passes(network)(inputs).sum())
    optimizer.step()
    expected = 1e-8 * inputs.sum(dim=0)
    torch.testing.assert_close(network.weight.grad, expected.expand(3, 4), rtol=1e-2, atol=1e-11)
    assert not torch.equal(network.weight, before)


def test_a_batch_beyond_half_precisions_range_is_passed_over() -> None:
    parallel = float16()
    network = nn.Linear(4, 3)
    before = network.weight.detach().clone()
    optimizer = parallel.optimizer(SGD(network.parameters(), 1.0), list(network.parameters()))
    torch.autograd.backward(1e6 * parallel.passes(network)(draw(0, 5, 4).float()).sum())
    optimizer.step()
    assert torch.equal(network.weight, before)
