"""D: is this face real, or painted by G?"""

from itertools import pairwise

from torch import Tensor, nn

CHANNELS = (3, 4, 8, 16, 32, 64, 128)


class Discriminator(nn.Module):
    """Table 1, lower part: six strided convolutions and a fully connected layer.

    [N, 3, 56, 56] faces to logits [N]; the sigmoid of Eq. 5 lives in the losses, where it is stable. Leaky ReLU, and
    batch norm on all but the first layer, follow DCGAN.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels_out in pairwise(CHANNELS):
            layers.append(nn.Conv2d(channels_in, channels_out, 3, 2, 1))  # side 28, 14, 7, 4, 2, 1
            if channels_in != CHANNELS[0]:
                layers.append(nn.BatchNorm2d(channels_out))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.convolutions = nn.Sequential(*layers)
        self.fc = nn.Linear(CHANNELS[-1], 1)

    def forward(self, faces: Tensor) -> Tensor:
        """Logits that faces are real."""
        x = self.convolutions(faces).flatten(1)  # [N, 128]
        logits: Tensor = self.fc(x)[:, 0]  # [N]
        return logits
