"""FC, the paper's naive model (section 3.1): an MLP with as many parameters as R³AN."""

from torch import Tensor, nn

from training.models.r3an import R3AN


class FullyConnected(nn.Module):
    """Two layers; the hidden width makes the parameter count equal R³AN's (Table 3, first row) to within a unit.

    [N, ds] prepared features to [N, dt].
    """

    def __init__(self, source_dim: int, target_dim: int) -> None:
        super().__init__()
        hidden = equal_width(source_dim, target_dim)
        self.layers = nn.Sequential(nn.Linear(source_dim, hidden), nn.ReLU(), nn.Linear(hidden, target_dim))

    def forward(self, features: Tensor) -> Tensor:
        """Translate prepared features."""
        translated: Tensor = self.layers(features)
        return translated


def equal_width(source_dim: int, target_dim: int) -> int:
    """Hidden units at which the MLP has as many parameters as R³AN between the same dimensions."""
    budget = parameter_count(R3AN(source_dim, target_dim))
    return round((budget - target_dim) / (source_dim + target_dim + 1))


def parameter_count(module: nn.Module) -> int:
    """Number of learned scalars."""
    return sum(p.numel() for p in module.parameters())
