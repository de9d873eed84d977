"""Algorithm 1: the order of its stages, what each changes, and the fused step's equality with their sum."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from training.algorithm1 import Batch, Players, Step, Weights, fused_step, sequential_step
from training.losses import discriminator_loss, generator_loss, regression_loss, representation_loss
from training.models.discriminator import Discriminator
from training.models.extractor import Extractor
from training.models.generator import Generator

SOURCE_DIM, TARGET_DIM, ROWS = 6, 5, 4
ALL = Weights(reconstruction=0.3, adversarial=0.2, representation=0.7, regression=1.1)
STAGES = ["discriminator", "generator", "representation", "regression"]


def make_players(rate: float = 0.01) -> Players:
    """Networks in float64 and training mode, with plain gradient descent: a step's change is its gradient."""
    torch.manual_seed(0)
    generator, extractor, discriminator = Generator(SOURCE_DIM), Extractor(TARGET_DIM), Discriminator()
    for network in (generator, extractor, discriminator):
        network.double().train()
    optimizers = [SGD(n.parameters(), rate) for n in (generator, extractor, discriminator)]
    return Players(generator, extractor, discriminator, *optimizers)


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Batch(draw(ROWS, SOURCE_DIM), draw(ROWS, 3, 56, 56).tanh(), nn.functional.normalize(draw(ROWS, TARGET_DIM)))


def parameters(network: nn.Module) -> list[nn.Parameter]:
    return list(network.parameters())


def weights_of(players: Players) -> dict[str, list[Tensor]]:
    networks = {"G": players.generator, "E": players.extractor, "D": players.discriminator}
    return {name: [p.detach().clone() for p in network.parameters()] for name, network in networks.items()}


def changed(before: dict[str, list[Tensor]], after: dict[str, list[Tensor]]) -> set[str]:
    return {name for name in before if not all(map(torch.equal, before[name], after[name]))}


def observe_updates(players: Players) -> list[set[str]]:
    """A list that grows by the networks that each optimiser step changes."""
    updates: list[set[str]] = []
    optimizers = players.generator_optimizer, players.extractor_optimizer, players.discriminator_optimizer
    for optimizer in optimizers:
        before: list[dict[str, list[Tensor]]] = []
        optimizer.register_step_pre_hook(lambda *_, b=before: b.append(weights_of(players)))
        optimizer.register_step_post_hook(lambda *_, b=before: updates.append(changed(b[-1], weights_of(players))))
    return updates


def test_the_stages_come_in_the_papers_order_and_each_changes_its_own_networks(batch: Batch) -> None:
    players = make_players()
    updates = observe_updates(players)
    losses = sequential_step(players, batch, ALL)
    assert list(losses) == STAGES
    assert updates == [{"D"}, {"G"}, {"E"}, {"G"}, {"E"}], "lines 6, 8, 10, and 12 for both"


def test_a_later_stage_sees_what_an_earlier_one_has_changed(batch: Batch) -> None:
    players, untouched = make_players(), make_players()
    losses = sequential_step(players, batch, ALL)
    first = discriminator_loss(
        untouched.discriminator(batch.faces), untouched.discriminator(untouched.generator(batch.sources))
    )
    last = ALL.regression * regression_loss(batch.targets, untouched.extractor(untouched.generator(batch.sources)))
    assert losses["discriminator"] == pytest.approx(first.item(), rel=1e-9)
    assert losses["regression"] != pytest.approx(last.item(), rel=1e-6)


def separate_losses(players: Players, batch: Batch, weights: Weights) -> dict[str, Tensor]:
    """Each stage's loss from forward passes of its own."""
    x, i, y = batch.sources, batch.faces, batch.targets
    g, e, d = players.generator, players.extractor, players.discriminator
    painted = g(x)
    return {
        "discriminator": discriminator_loss(d(i), d(g(x).detach())),
        "generator": generator_loss(
            i, painted, d(painted), reconstruction=weights.reconstruction, adversarial=weights.adversarial
        ),
        "representation": weights.representation * representation_loss(y, e(i)),
        "regression": weights.regression * regression_loss(y, e(g(x))),
    }


def gradients(losses: Iterable[Tensor], network: nn.Module) -> list[Tensor]:
    """Sum over losses of their gradients, by autograd.grad one loss at a time."""
    sums = [torch.zeros_like(p) for p in parameters(network)]
    for loss in losses:
        found = torch.autograd.grad(loss, parameters(network), retain_graph=True, allow_unused=True)
        sums = [total + (0 if part is None else part) for total, part in zip(sums, found, strict=True)]
    return sums


@pytest.mark.parametrize("weights", [Weights(1, 1, 1, 1), ALL], ids=["unit weights", "other weights"])
def test_the_fused_steps_gradients_are_the_sum_of_the_separate_losses_gradients(batch: Batch, weights: Weights) -> None:
    players, oracle = make_players(rate=0.0), make_players(rate=0.0)
    losses = fused_step(players, batch, weights)
    separate = separate_losses(oracle, batch, weights)
    assert losses == pytest.approx({name: loss.item() for name, loss in separate.items()}, rel=1e-9)
    expected = {
        "generator": gradients([separate["generator"], separate["regression"]], oracle.generator),
        "extractor": gradients([separate["representation"], separate["regression"]], oracle.extractor),
        "discriminator": gradients([separate["discriminator"]], oracle.discriminator),
    }
    for name, of in expected.items():
        found = [p.grad for p in parameters(getattr(players, name))]
        for gradient, sum_of_separate in zip(found, of, strict=True):
            torch.testing.assert_close(gradient, sum_of_separate, rtol=1e-7, atol=1e-11)
        assert any(gradient is not None and gradient.abs().max() > 1e-6 for gradient in found)


@pytest.mark.parametrize("step", [sequential_step, fused_step])
def test_ds_step_is_ds_alone_and_gs_loss_never_reaches_d(batch: Batch, step: Step) -> None:
    """D's change follows from D's loss only, whatever the other weights are."""
    changes = []
    for scale in (1, 50):
        players = make_players()
        step(players, batch, Weights(scale, 1, scale, scale))
        changes.append(parameters(players.discriminator))
    for a, b in zip(*changes, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


# Table 3's rows: reconstruction by L2, adversarial, representation, regression.
ARCHITECTURES = {
    "arch1": (1, 0, 1, 0),
    "arch2": (0, 1, 1, 0),
    "arch3": (0, 0, 0, 1),
    "arch4": (1, 0, 0, 1),
    "arch5": (1, 0, 1, 1),
    "arch6": (0, 1, 0, 1),
    "arch7": (0, 0, 1, 1),
    "r3an": (1, 1, 1, 1),
}


@pytest.mark.parametrize("step", [sequential_step, fused_step])
@pytest.mark.parametrize("paths", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_a_zero_weight_leaves_its_path_out(batch: Batch, step: Step, paths: tuple[int, ...]) -> None:
    reconstruction, adversarial, representation, regression = paths
    players = make_players()
    before = weights_of(players)
    losses = step(players, batch, Weights(*paths))
    paints = reconstruction or adversarial
    learns = {"D": adversarial, "G": paints or regression, "E": representation or regression}
    assert changed(before, weights_of(players)) == {name for name, does in learns.items() if does}
    assert list(losses) == [
        stage for stage, does in zip(STAGES, (adversarial, paints, representation, regression), strict=True) if does
    ]


def test_both_steps_reach_the_same_quality() -> None:
    """The same 16 faces, networks and iterations; only the step differs. At random E(G(x)) is about 1 off."""
    sequential, fused = train(sequential_step), train(fused_step)
    assert max(sequential, fused) < 0.6, "both must have learned"
    assert abs(sequential - fused) < 0.2


def train(step: Step, iterations: int = 20, rows: int = 8) -> float:
    """Mean regression loss of the last four iterations on a small problem."""
    generator = torch.Generator().manual_seed(2)
    sources = torch.randn(2 * rows, SOURCE_DIM, generator=generator)
    colours = (sources @ torch.randn(SOURCE_DIM, 3, generator=generator)).tanh()
    faces = colours[:, :, None, None].expand(-1, -1, 56, 56)
    targets = nn.functional.normalize(sources @ torch.randn(SOURCE_DIM, TARGET_DIM, generator=generator))
    torch.manual_seed(0)
    networks = Generator(SOURCE_DIM), Extractor(TARGET_DIM), Discriminator()
    players = Players(*networks, *[torch.optim.AdamW(network.parameters(), 1e-3) for network in networks])
    losses: list[float] = []
    for iteration in range(iterations):
        part = slice(iteration % 2 * rows, (iteration % 2 + 1) * rows)
        batch = Batch(sources[part], faces[part], targets[part])
        losses.append(step(players, batch, Weights(0.02, 0.02, 1.0, 1.0))["regression"])
    return sum(losses[-4:]) / 4
