"""Two small encoders built differently: what one calls a feature means nothing to the other."""

from torch import Tensor, nn

FEATURE_DIM = 256


class ConvEncoder(nn.Module):
    """Plain strided convolutions with PReLU, over colours as they are, [-1, 1]; every place keeps its own weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_conv(3, 16, kernel=5),  # [N, 16, 28, 28]
            *_conv(16, 32),  # [N, 32, 14, 14]
            *_conv(32, 64),  # [N, 64, 7, 7]
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, FEATURE_DIM, bias=False),
            nn.BatchNorm1d(FEATURE_DIM),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Photos [N, 3, 56, 56] in 0..255 to features [N, 256]."""
        features: Tensor = self.layers(images / 127.5 - 1)
        return features


class ResidualEncoder(nn.Module):
    """Inverted residuals over photos standardised one by one, pooled by rows and columns."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 4, stride=4, bias=False), nn.BatchNorm2d(16), nn.SiLU())
        self.blocks = nn.Sequential(
            _InvertedResidual(16, 64),  # [N, 16, 14, 14]
            _InvertedResidual(16, 64),
            nn.Conv2d(16, 48, 2, stride=2, bias=False),  # [N, 48, 7, 7]
            nn.BatchNorm2d(48),
            _InvertedResidual(48, 144),
            _InvertedResidual(48, 144),
        )
        self.feature = nn.Sequential(
            nn.Flatten(), nn.Linear(48 * 49, FEATURE_DIM, bias=False), nn.BatchNorm1d(FEATURE_DIM)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Photos [N, 3, 56, 56] in 0..255 to features [N, 256]."""
        centred = images - images.mean(dim=(1, 2, 3), keepdim=True)
        spread = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        features: Tensor = self.feature(self.blocks(self.stem(centred / (spread + 1))))
        return features


class _InvertedResidual(nn.Module):
    def __init__(self, channels: int, expanded: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, expanded, 1, bias=False),
            nn.BatchNorm2d(expanded),
            nn.SiLU(),
            nn.Conv2d(expanded, expanded, 3, padding=1, groups=expanded, bias=False),
            nn.BatchNorm2d(expanded),
            nn.SiLU(),
            nn.Conv2d(expanded, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, images: Tensor) -> Tensor:
        return images + self.layers(images)  # type: ignore[no-any-return]


def _conv(channels_in: int, channels_out: int, kernel: int = 3) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels_in, channels_out, kernel, stride=2, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.PReLU(channels_out),
    )
