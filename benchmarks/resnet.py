"""ResNet-101 (He et al., 2016), the peer in speed, which does not depend on weights: they are random."""

from torch import Tensor, nn

STAGES = ((64, 3), (128, 4), (256, 23), (512, 3))  # width and blocks: table 1 of the paper, column "101-layer"
EXPANSION = 4
CLASSES = 1000
IMAGE = (3, 224, 224)


class Block(nn.Module):
    """Reduce, filter, expand, beside a shortcut. [N, channels_in, H, W] to [N, 4 width, H / stride, W / stride]."""

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        channels_out = width * EXPANSION
        self.layers = nn.Sequential(
            *_convolution(channels_in, width, 1, 1),
            nn.ReLU(inplace=True),
            *_convolution(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *_convolution(width, channels_out, 1, 1),
        )
        same = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Identity() if same else nn.Sequential(*_convolution(channels_in, channels_out, 1, stride))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """One block."""
        y: Tensor = self.relu(self.layers(x) + self.shortcut(x))
        return y


def resnet_101() -> nn.Sequential:
    """The network without softmax: [N, 3 x 224 x 224] to [N, 1000], rows flat as features are."""
    blocks, channels = list[nn.Module](), 64
    for stage, (width, number) in enumerate(STAGES):
        for index in range(number):
            blocks.append(Block(channels, width, stride=2 if stage > 0 and index == 0 else 1))
            channels = width * EXPANSION
    stem = (*_convolution(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(channels, CLASSES))
    return nn.Sequential(nn.Unflatten(1, IMAGE), *stem, *blocks, *head)


def _convolution(channels_in: int, channels_out: int, kernel: int, stride: int) -> tuple[nn.Module, nn.Module]:
    return (
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
    )
