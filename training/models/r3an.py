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

    def forward(self, features: Tensor) -> Tensor:
        """Translate prepared features."""
        translated: Tensor = self.extractor(self.generator(features))
        return translated
