"""Algorithm 1 as a reader of the paper writes it in PyTorch: the rival that our training is timed against.

Four stages a batch, each with forward passes of its own; faces decoded whenever a batch shows them; torch as it comes.
"""

import io
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, Dataset

from training.algorithm1 import Weights
from training.losses import discriminator_loss, generator_loss, regression_loss, representation_loss
from training.models.discriminator import Discriminator
from training.models.r3an import R3AN

Pair = tuple[Tensor, Tensor, Tensor]


class FaceDataset(Dataset[Pair]):
    """Prepared sources [N, ds], encoded faces and targets [N, dt], one row at a time."""

    def __init__(self, sources: Tensor, encoded: list[bytes], targets: Tensor) -> None:
        self.sources = sources
        self.encoded = encoded
        self.targets = targets

    def __len__(self) -> int:
        """Rows."""
        return len(self.encoded)

    def __getitem__(self, row: int) -> Pair:
        """One source [ds], face [3, 56, 56] in [-1, 1] and target [dt]."""
        pixels = np.array(Image.open(io.BytesIO(self.encoded[row])).convert("RGB"))  # [56, 56, 3]
        face = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float() / 127.5 - 1
        return self.sources[row], face, self.targets[row]


class PlainTraining:
    """G, E and D under momentum SGD, whose rate falls to zero by half a cosine over `iterations`."""

    def __init__(
        self,
        network: R3AN,
        discriminator: Discriminator,
        weights: Weights,
        *,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        iterations: int,
    ) -> None:
        self.generator, self.extractor, self.discriminator = network.generator, network.extractor, discriminator
        self.weights = weights

        def optimizer(part: nn.Module) -> SGD:
            return SGD(part.parameters(), learning_rate, momentum=momentum, weight_decay=weight_decay)

        self.generator_optimizer = optimizer(self.generator)
        self.extractor_optimizer = optimizer(self.extractor)
        self.discriminator_optimizer = optimizer(self.discriminator)
        optimizers = self.generator_optimizer, self.extractor_optimizer, self.discriminator_optimizer
        self.schedules = [CosineAnnealingLR(optimizer, iterations) for optimizer in optimizers]

    def step(self, x: Tensor, i: Tensor, y: Tensor) -> float:
        """One batch of sources [N, ds], faces [N, 3, 56, 56] and targets [N, dt]; returns the regression loss."""
        w = self.weights

        self.discriminator_optimizer.zero_grad()
        fake = self.generator(x).detach()
        loss = discriminator_loss(self.discriminator(i), self.discriminator(fake))
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own, as below
        self.discriminator_optimizer.step()

        self.generator_optimizer.zero_grad()
        painted = self.generator(x)
        logits = self.discriminator(painted)
        loss = generator_loss(i, painted, logits, reconstruction=w.reconstruction, adversarial=w.adversarial)
        loss.backward()  # type: ignore[no-untyped-call]
        self.generator_optimizer.step()

        self.extractor_optimizer.zero_grad()
        loss = w.representation * representation_loss(y, self.extractor(i))
        loss.backward()  # type: ignore[no-untyped-call]
        self.extractor_optimizer.step()

        self.generator_optimizer.zero_grad()
        self.extractor_optimizer.zero_grad()
        loss = w.regression * regression_loss(y, self.extractor(self.generator(x)))
        loss.backward()  # type: ignore[no-untyped-call]
        self.generator_optimizer.step()
        self.extractor_optimizer.step()

        for schedule in self.schedules:
            schedule.step()
        return loss.item()


def batches(dataset: FaceDataset, batch_rows: int, seed: int) -> Iterator[Pair]:
    """Shuffled whole batches, epoch after epoch."""
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(dataset, batch_rows, shuffle=True, drop_last=True, generator=order)
    while True:
        yield from loader
