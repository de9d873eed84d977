"""R³AN's regression path: paint the face, read it back."""

from torch import Tensor, nn

from training.models.extractor import Extractor
from training.models.generator import Generator


class R3AN(nn.Module):
    """E(G(x)), Eq. 3: the face is the latent variable between two models. [N, ds] to [N, dt]."""

    def __init__(self, source_dim: int, target_dim: int) -> None:
        super().__init__()
        self.generator = Generator(source_dim)
        self.extractor = Extractor(target_dim)

    def left_over(self, features: Tensor, targets: Tensor) -> Tensor:
        """What of targets [N, dt] the faces must give: all."""
        return targets

    def forward(self, features: Tensor) -> Tensor:
        """Translate prepared features."""
        translated: Tensor = self.extractor(self.generator(features))
        return translated


class R3ANLinear(nn.Module):
    """A x + b + E(G(x)), where the affine part is given and E begins silent. [N, ds] prepared features to [N, dt]."""

    def __init__(self, source_dim: int, target_dim: int) -> None:
        super().__init__()
        self.generator = Generator(source_dim)
        self.extractor = Extractor(target_dim)
        self.linear = nn.Linear(source_dim, target_dim).requires_grad_(False)
        nn.init.zeros_(self.extractor.fc.weight)
        nn.init.zeros_(self.extractor.fc.bias)

    def left_over(self, features: Tensor, targets: Tensor) -> Tensor:
        """What of targets [N, dt] the faces must give: what the affine part misses."""
        missed: Tensor = targets - self.linear(features)
        return missed

    def forward(self, features: Tensor) -> Tensor:
        """Translate prepared features."""
        translated: Tensor = self.linear(features) + self.extractor(self.generator(features))
        return translated
