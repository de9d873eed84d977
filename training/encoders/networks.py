"""Two small encoders built differently: what one calls a feature means nothing to the other."""

from torch import Tensor, nn

FEATURE_DIM = 256


class ConvEncoder(nn.Module):
    """Plain strided convolutions with PReLU, over colours as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, kernel_size=6, stride=4, padding=1, bias=False),  # [N, 32, 14, 14]
            nn.BatchNorm2d(32),
            nn.PReLU(32),
            nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1, bias=False),  # [N, 64, 7, 7]
            nn.BatchNorm2d(64),
            nn.PReLU(64),
            *_feature(64),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Photos [N, 3, 56, 56] in 0..255 to features [N, 256]."""
        features: Tensor = self.layers(images / 127.5 - 1)
        return features


class ResidualEncoder(nn.Module):
    """Inverted residuals with ReLU, over photos each centred and scaled by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 24, kernel_size=8, stride=4, padding=2, bias=False),  # [N, 24, 14, 14]
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Conv2d(24, 48, kernel_size=4, stride=2, padding=1, bias=False),  # [N, 48, 7, 7]
            nn.BatchNorm2d(48),
            InvertedResidual(48, 96),
            InvertedResidual(48, 96),
            *_feature(48),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Photos [N, 3, 56, 56] in 0..255 to features [N, 256]."""
        centred = images - images.mean(dim=(1, 2, 3), keepdim=True)
        spread = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        features: Tensor = self.layers(centred / (spread + 1))  # plus one: a photo of one colour has no spread
        return features


class InvertedResidual(nn.Module):
    """Widen by 1x1, mix neighbours per channel, narrow by 1x1, and add what came in."""

    def __init__(self, channels: int, expanded: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, expanded, kernel_size=1, bias=False),
            nn.BatchNorm2d(expanded),
            nn.ReLU(),
            nn.Conv2d(expanded, expanded, kernel_size=3, padding=1, groups=expanded, bias=False),
            nn.Conv2d(expanded, channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, images: Tensor) -> Tensor:
        """[N, c, h, w] to the same shape."""
        mixed: Tensor = self.layers(images)
        return images + mixed


def _feature(channels: int) -> tuple[nn.Module, ...]:
    """From [N, c, 7, 7] to features; each place keeps weights of its own, since faces are aligned."""
    return nn.Flatten(), nn.Linear(channels * 7 * 7, FEATURE_DIM, bias=False), nn.BatchNorm1d(FEATURE_DIM)
