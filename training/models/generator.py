"""G, the reconstruction path: a feature becomes a face."""

from torch import Tensor, nn

IMAGE_SIDE = 56


class Generator(nn.Module):
    """Table 1, upper part: five fractional-strided convolutions from a feature to a 56 x 56 face.

    [N, ds] prepared features to [N, 3, 56, 56] in [-1, 1]. Batch norm and ReLU between layers and tanh at the end
    follow DCGAN (Radford et al., 2015), the topology's stated inspiration; the table names operators and sizes only.
    """

    def __init__(self, source_dim: int) -> None:
        super().__init__()
        self.fconv1 = _fconv(source_dim, 512, kernel=4, stride=1, padding=0)
        self.fconv2 = _fconv(512, 128, kernel=3, stride=2, padding=1)
        self.fconv3 = _fconv(128, 32, kernel=4, stride=2, padding=1)
        self.fconv4 = _fconv(32, 8, kernel=4, stride=2, padding=1)
        self.fconv5 = nn.Sequential(nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh())

    def forward(self, features: Tensor) -> Tensor:
        """Paint faces."""
        x = features[:, :, None, None]  # [N, ds, 1, 1]
        x = self.fconv1(x)  # [N, 512, 4, 4]
        x = self.fconv2(x)  # [N, 128, 7, 7]
        x = self.fconv3(x)  # [N, 32, 14, 14]
        x = self.fconv4(x)  # [N, 8, 28, 28]
        faces: Tensor = self.fconv5(x)  # [N, 3, 56, 56]
        return faces


def _fconv(channels_in: int, channels_out: int, *, kernel: int, stride: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels_out, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
