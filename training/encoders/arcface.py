"""The ArcFace head: a softmax over identities whose own angle is made harder by a margin.

Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", arXiv:1801.07698.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

COSINE_MAX = 1 - 1e-6  # the angle's derivative is infinite at 1


class ArcFaceHead(nn.Module):
    """One direction per identity; thrown away after training."""

    def __init__(self, dim: int, identities: int, *, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.directions = nn.Parameter(torch.randn(identities, dim) / math.sqrt(dim))  # [C, d]

    def forward(self, features: Tensor, identities: Tensor, margin: float) -> Tensor:
        """Mean loss of features [N, d] whose identities [N] int64 index the directions, at a margin in radians."""
        cosines = functional.linear(functional.normalize(features), functional.normalize(self.directions))  # [N, C]
        return functional.cross_entropy(self.scale * add_margin(cosines, identities, margin), identities)


def add_margin(cosines: Tensor, identities: Tensor, margin: float) -> Tensor:
    """Replace each row's own cos(t) [N, C] by cos(t + margin), and by a falling line where t + margin exceeds pi."""
    own = cosines.gather(1, identities[:, None]).clamp(-COSINE_MAX, COSINE_MAX)  # [N, 1]
    sines = torch.sqrt(1 - own * own)
    harder = own * math.cos(margin) - sines * math.sin(margin)
    beyond = own - math.sin(math.pi - margin) * margin
    harder = torch.where(own > math.cos(math.pi - margin), harder, beyond)
    return cosines.scatter(1, identities[:, None], harder)
