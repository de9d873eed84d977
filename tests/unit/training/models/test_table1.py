"""Table 1, row by row: output sizes seen by hooks, parameter counts by formulas of this file."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from training.models.discriminator import Discriminator
from training.models.extractor import Bottleneck, Extractor
from training.models.generator import Generator

SOURCE_DIM = TARGET_DIM = 256
BATCH = 2


def transposed(channels_in: int, channels_out: int, kernel: int) -> int:
    """Weights of a fractional-strided convolution and its batch norm."""
    return channels_in * channels_out * kernel**2 + 2 * channels_out


def bottleneck(channels_in: int, channels_out: int) -> int:
    """Weights of MobileNetV2's block at T = 6: expand, filter by depth, project, each with batch norm."""
    hidden = 6 * channels_in
    return channels_in * hidden + 2 * hidden + 9 * hidden + 2 * hidden + hidden * channels_out + 2 * channels_out


def strided(channels_in: int, channels_out: int, *, batch_norm: bool = True) -> int:
    """Weights and biases of D's 3 x 3 convolution, and its batch norm."""
    return channels_in * channels_out * 9 + channels_out + (2 * channels_out if batch_norm else 0)


# row, output size, parameters
GENERATOR = [
    ("fconv1", (512, 4, 4), transposed(256, 512, 4)),
    ("fconv2", (128, 7, 7), transposed(512, 128, 3)),
    ("fconv3", (32, 14, 14), transposed(128, 32, 4)),
    ("fconv4", (8, 28, 28), transposed(32, 8, 4)),
    ("fconv5", (3, 56, 56), 8 * 3 * 16 + 3),
]
EXTRACTOR = [
    ("conv1", (32, 28, 28), bottleneck(3, 32)),
    ("conv2", (64, 14, 14), bottleneck(32, 64)),
    ("conv3", (96, 14, 14), bottleneck(64, 96)),
    ("conv4", (160, 7, 7), bottleneck(96, 160)),
    ("conv5", (320, 7, 7), bottleneck(160, 320)),
    ("conv6", (1280, 7, 7), 320 * 1280 + 2 * 1280),
    ("pooling", (1280, 1, 1), 0),
    ("fc", (256,), 1280 * 256 + 256),
]
# Conv4's 4 x 4 after 7 x 7, as every row, is a 3 x 3 kernel of stride 2 and padding 1.
DISCRIMINATOR = [
    ("conv1", (4, 28, 28), strided(3, 4, batch_norm=False)),
    ("conv2", (8, 14, 14), strided(4, 8)),
    ("conv3", (16, 7, 7), strided(8, 16)),
    ("conv4", (32, 4, 4), strided(16, 32)),
    ("conv5", (64, 2, 2), strided(32, 64)),
    ("conv6", (128, 1, 1), strided(64, 128)),
]


def rows_of(network: nn.Module) -> dict[str, list[nn.Module]]:
    """The modules of each row, in order. D's rows are runs of one sequence, each beginning with its convolution."""
    if not isinstance(network, Discriminator):
        return {name: [module] for name, module in network.named_children()}
    rows: dict[str, list[nn.Module]] = {}
    for module in network.convolutions:
        if isinstance(module, nn.Conv2d):
            rows[f"conv{len(rows) + 1}"] = []
        rows[f"conv{len(rows)}"].append(module)
    return rows | {"fc": [network.fc]}


def output_sizes(network: nn.Module, given: Tensor) -> dict[str, tuple[int, ...]]:
    """Output size of each row, without the batch."""
    sizes: dict[str, tuple[int, ...]] = {}

    def note(row: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
            sizes[row] = tuple(output.shape[1:])

        return hook

    for row, modules in rows_of(network).items():
        modules[-1].register_forward_hook(note(row))
    network.eval()(given)
    return sizes


def parameters(modules: list[nn.Module]) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(
    ("network", "given", "table"),
    [
        (Generator(SOURCE_DIM), torch.randn(BATCH, SOURCE_DIM), GENERATOR),
        (Extractor(TARGET_DIM), torch.randn(BATCH, 3, 56, 56), EXTRACTOR),
        (Discriminator(), torch.randn(BATCH, 3, 56, 56), [*DISCRIMINATOR, ("fc", (1,), 128 + 1)]),
    ],
    ids=["generator", "extractor", "discriminator"],
)
def test_each_row_has_its_size_and_its_parameters(
    network: nn.Module, given: Tensor, table: list[tuple[str, tuple[int, ...], int]]
) -> None:
    sizes = output_sizes(network, given)
    counted = {row: parameters(modules) for row, modules in rows_of(network).items()}
    assert [(row, sizes[row], counted[row]) for row in rows_of(network)] == table
    assert parameters([network]) == sum(count for _, _, count in table)


def test_the_totals_at_the_papers_dimension() -> None:
    totals = [parameters([network]) for network in (Generator(SOURCE_DIM), Extractor(TARGET_DIM), Discriminator())]
    assert totals == [2_758_355, 1_457_888, 99_193]


@pytest.mark.parametrize(("source_dim", "target_dim"), [(128, 256), (7, 3)])
def test_other_dimensions_change_the_ends_only(source_dim: int, target_dim: int) -> None:
    generator, extractor = Generator(source_dim), Extractor(target_dim)
    assert parameters([generator]) == sum(count for _, _, count in GENERATOR) + (source_dim - 256) * 512 * 16
    assert parameters([extractor]) == sum(count for _, _, count in EXTRACTOR) + (target_dim - 256) * 1281
    assert extractor(generator(torch.randn(BATCH, source_dim))).shape == (BATCH, target_dim)


def test_faces_lie_between_minus_one_and_one() -> None:
    faces = Generator(16)(100 * torch.randn(8, 16))
    assert faces.abs().max() <= 1
    assert faces.shape == (8, 3, 56, 56)


def test_a_bottleneck_adds_its_input_where_shapes_agree() -> None:
    x = torch.randn(2, 8, 4, 4)
    for channels_out, passed in [(8, x), (16, torch.zeros(2, 16, 4, 4))]:
        block = Bottleneck(8, channels_out, stride=1).eval()
        torch.nn.init.zeros_(block.layers[-1].weight)
        torch.testing.assert_close(block(x), passed)


def test_the_discriminator_gives_one_logit_a_face() -> None:
    assert Discriminator()(torch.randn(5, 3, 56, 56)).shape == (5,)
