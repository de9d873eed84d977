"""The same translator in a form that costs less to run: what training needs apart becomes one where that is exact."""

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training.models.extractor import Bottleneck
from training.models.generator import Generator

CHANNEL_BLOCK = 16  # float32 in a vector register; runtimes leave their fast layout for numbers that are no multiple


class PointPainting(nn.Module):
    """A transposed convolution of a single point as the one matrix product that it is.

    [N, channels_in, 1, 1] to [N, channels_out, kernel, kernel]. Runtimes make it a product and a slow scatter.
    """

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.shape = (layer.out_channels, *layer.kernel_size)
        bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias.detach()
        self.weight = nn.Parameter(layer.weight.detach().flatten(1).T.contiguous())  # [channels_out k k, channels_in]
        self.bias = nn.Parameter(bias.repeat_interleave(self.shape[1] * self.shape[2]))

    def forward(self, points: Tensor) -> Tensor:
        """Paint each point's patch."""
        patches = nn.functional.linear(points.flatten(1), self.weight, self.bias)
        return patches.reshape(-1, *self.shape)


def inference_form(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode that answers as `module` does, but for the rounding of float32.

    Batch norm is folded into the convolution before it, G's first layer becomes a product, and channels between the
    layers of E that no vector register divides get company that is always zero.
    """
    form = copy.deepcopy(module).eval()
    for part in list(form.modules()):
        if isinstance(part, nn.Sequential):
            _fold_batch_norm(part)
    for part in list(form.modules()):
        if isinstance(part, Generator):
            _paint_points(part.fconv1)
        elif isinstance(part, Bottleneck):
            _fill_channel_blocks(part.layers)
    return form


def _fold_batch_norm(layers: nn.Sequential) -> None:
    for (name, layer), (following, norm) in pairwise(list(layers.named_children())):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(layers, name, fuse_conv_bn_eval(layer, norm, transpose=isinstance(layer, nn.ConvTranspose2d)))
            setattr(layers, following, nn.Identity())


def _paint_points(layers: nn.Sequential) -> None:
    first = layers[0]
    assert isinstance(first, nn.ConvTranspose2d)  # noqa: S101 - for the type checker
    layers[0] = PointPainting(first)


def _fill_channel_blocks(layers: nn.Sequential) -> None:
    """Widen what a bottleneck expands to. Of zero weights and bias, new channels stay zero through ReLU6."""
    expand, depthwise, project = (layer for layer in layers if isinstance(layer, nn.Conv2d))
    missing = -expand.out_channels % CHANNEL_BLOCK
    if missing == 0:
        return
    for layer in (expand, depthwise):
        assert layer.bias is not None  # noqa: S101 - batch norm's
        layer.weight, layer.bias = _widened(layer.weight, missing, 0), _widened(layer.bias, missing, 0)
        layer.out_channels += missing
    depthwise.in_channels = depthwise.groups = depthwise.out_channels
    project.weight = _widened(project.weight, missing, 1)
    project.in_channels += missing


def _widened(weight: Tensor, missing: int, dim: int) -> nn.Parameter:
    shape = [missing if i == dim else size for i, size in enumerate(weight.shape)]
    return nn.Parameter(torch.cat([weight.detach(), weight.new_zeros(shape)], dim))
