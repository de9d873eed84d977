"""E, the representation path: a face becomes a target feature."""

from torch import Tensor, nn

EXPANSION = 6


class Bottleneck(nn.Module):
    """MobileNetV2's inverted residual (Sandler et al., 2018, section 3.3): expand, filter by depth, project."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int, expansion: int = EXPANSION) -> None:
        super().__init__()
        hidden = channels_in * expansion
        self.layers = nn.Sequential(
            nn.Conv2d(channels_in, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.has_shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels_in, H, W] to [N, channels_out, H / stride, W / stride]."""
        y: Tensor = self.layers(x)
        return x + y if self.has_shortcut else y


class Extractor(nn.Module):
    """Table 1, middle part, read literally: one bottleneck block a row, T = 6.

    [N, 3, 56, 56] faces to [N, dt] features of the target space, not normalised.
    """

    def __init__(self, target_dim: int) -> None:
        super().__init__()
        self.conv1 = Bottleneck(3, 32, stride=2)
        self.conv2 = Bottleneck(32, 64, stride=2)
        self.conv3 = Bottleneck(64, 96, stride=1)
        self.conv4 = Bottleneck(96, 160, stride=2)
        self.conv5 = Bottleneck(160, 320, stride=1)
        self.conv6 = nn.Sequential(nn.Conv2d(320, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6(inplace=True))
        self.pooling = nn.AvgPool2d(7)
        self.fc = nn.Linear(1280, target_dim)

    def forward(self, faces: Tensor) -> Tensor:
        """Read features out of faces."""
        x = self.conv1(faces)  # [N, 32, 28, 28]
        x = self.conv2(x)  # [N, 64, 14, 14]
        x = self.conv3(x)  # [N, 96, 14, 14]
        x = self.conv4(x)  # [N, 160, 7, 7]
        x = self.conv5(x)  # [N, 320, 7, 7]
        x = self.conv6(x)  # [N, 1280, 7, 7]
        x = self.pooling(x).flatten(1)  # [N, 1280]
        features: Tensor = self.fc(x)  # [N, dt]
        return features
