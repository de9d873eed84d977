"""What every method ends as: raw source features in, unit-length target features out."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize


class Translator(nn.Module):
    """Prepares raw features, runs a network, normalises: the one module that is exported.

    Preparation: unit length, minus the training mean, times one scale that makes the average variance 1. Encoders that
    are not centred would otherwise spend a linear map's capacity on their mean. Raw [N, ds] to unit-length [N, dt].
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: float, network: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", mean)  # [ds]
        self.register_buffer("scale", torch.tensor(scale))
        self.network = network

    def prepare(self, features: Tensor) -> Tensor:
        """Raw [N, ds] to the network's input [N, ds]."""
        return (normalize(features) - self.mean) * self.scale

    def forward(self, features: Tensor) -> Tensor:
        """Translate raw features."""
        return normalize(self.network(self.prepare(features)))


@torch.inference_mode()
def translate(module: nn.Module, features: NDArray[np.float32], rows_max: int = 512) -> NDArray[np.float32]:
    """Run a translator over [N, ds] in batches of at most `rows_max`; returns [N, dt]."""
    module.eval()
    batches = [module(torch.from_numpy(features[i : i + rows_max])) for i in range(0, len(features), rows_max)]
    translated: NDArray[np.float32] = torch.cat(batches).numpy()
    return translated


def weights_sha256(translator: Translator) -> str:
    """Hex sha256 over names, shapes and bytes of all weights, in name order: equal weights, equal hash.

    That of `model.pt` differs each time, as TorchScript numbers what it traces.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(translator.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
