"""The table of methods."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from contract.manifest import Method
from training.methods.base import FitMethod
from training.methods.distilled import fit_distilled
from training.methods.fully_connected import fit_fully_connected
from training.methods.kernel_ridge import fit_kernel_ridge
from training.methods.linear import fit_affine, fit_procrustes
from training.methods.r3an import fit_r3an, fit_r3an_linear
from training.methods.residual import fit_residual
from training.models.fully_connected import FullyConnected
from training.models.kernel import Kernel
from training.models.linear import Linear
from training.models.r3an import R3AN, R3ANLinear
from training.models.residual import Residual, Student
from training.models.translator import Translator


@dataclass(frozen=True, slots=True)
class Entry:
    """How to fit a method, what network it ends as, whether it looks at faces, and whether it needs no iterations."""

    fit: FitMethod
    network: Callable[[int, int], nn.Module]  # called with (source_dim, target_dim)
    needs_images: bool = False
    closed_form: bool = False


METHODS: dict[Method, Entry] = {
    Method.R3AN: Entry(fit_r3an, R3AN, needs_images=True),
    Method.R3AN_LINEAR: Entry(fit_r3an_linear, R3ANLinear, needs_images=True),
    Method.FC: Entry(fit_fully_connected, FullyConnected),
    Method.RESIDUAL: Entry(fit_residual, Residual),
    Method.KERNEL_RIDGE: Entry(fit_kernel_ridge, Kernel, closed_form=True),
    Method.DISTILLED: Entry(fit_distilled, Student),
    Method.AFFINE: Entry(fit_affine, Linear, closed_form=True),
    Method.PROCRUSTES: Entry(fit_procrustes, Linear, closed_form=True),
    **{method: Entry(fit_r3an, R3AN, needs_images=True) for method in Method if method.startswith("arch")},
}


def entry(method: Method) -> Entry:
    """A method's entry."""
    return METHODS[method]


def empty_translator(method: Method, source_dim: int, target_dim: int) -> Translator:
    """A translator of the method's shape, for weights to be loaded into."""
    return Translator(torch.zeros(source_dim), 1.0, entry(method).network(source_dim, target_dim))
