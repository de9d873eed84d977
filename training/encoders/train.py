"""Train an encoder by ArcFace, and use it."""

from collections.abc import Callable, Iterator
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.encoders.arcface import ArcFaceHead
from training.encoders.networks import FEATURE_DIM, ConvEncoder, ResidualEncoder
from training.errors import DivergedError

Images = NDArray[np.uint8]  # [N, 56, 56, 3]
OnProgress = Callable[[int, int], None]  # (iterations done, of how many)

BATCH_ROWS = 64
EMBED_ROWS = 256
MARGIN = 0.5
SCALE = 16.0  # small: the classes are few
LEARNING_RATE = 1e-2
WARM_UP = 0.2  # share of the iterations in which the learning rate rises
WEIGHT_DECAY = 5e-4
MARGIN_RISES_FOR = 0.5  # share of the iterations; a full margin from the start finds no way in


class EncoderKind(StrEnum):
    """The encoders of the synthetic world."""

    CONV = "conv"
    RESIDUAL = "residual"


def train_encoder(
    kind: EncoderKind,
    images: Images,
    identities: NDArray[np.int32],
    *,
    seed: int,
    iterations: int,
    on_progress: OnProgress = lambda done, total: None,
) -> nn.Module:
    """Train an encoder on photos [N, 56, 56, 3] of identities [N] 0 … C-1; the same seed gives the same weights.

    Raises:
        DivergedError: the loss left the finite numbers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = ConvEncoder() if kind is EncoderKind.CONV else ResidualEncoder()
        head = ArcFaceHead(FEATURE_DIM, int(identities.max()) + 1, scale=SCALE)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, iterations, pct_start=WARM_UP)
    encoder.train()
    for done, rows in enumerate(_batches(len(images), iterations, seed)):
        margin = MARGIN * min(1.0, done / (MARGIN_RISES_FOR * iterations))
        optimizer.zero_grad(set_to_none=True)
        loss = head(encoder(_tensor(images[rows])), torch.from_numpy(identities[rows].astype(np.int64)), margin)
        loss.backward()
        optimizer.step()
        schedule.step()
        if not torch.isfinite(loss):
            raise DivergedError(f"{kind} encoder: the loss is not finite at iteration {done}")
        on_progress(done + 1, iterations)
    encoder.eval()
    return encoder


def embed(encoder: nn.Module, images: Images) -> NDArray[np.float32]:
    """Features [N, 256] of photos [N, 56, 56, 3], as the encoder emits them, not normalised."""
    encoder.eval()
    with torch.inference_mode():
        blocks = [encoder(_tensor(images[i : i + EMBED_ROWS])).numpy() for i in range(0, len(images), EMBED_ROWS)]
    return np.concatenate(blocks)


def _batches(rows: int, iterations: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Endless epochs, each a permutation of its own, cut into whole batches."""
    generator = np.random.default_rng(seed)
    queue = np.empty(0, dtype=np.int64)
    for _ in range(iterations):
        while len(queue) < BATCH_ROWS:
            queue = np.concatenate([queue, generator.permutation(rows)])
        yield queue[:BATCH_ROWS]
        queue = queue[BATCH_ROWS:]


def _tensor(images: Images) -> Tensor:
    # NHWC seen as NCHW is channels_last, the layout in which convolutions run fastest; they keep it throughout.
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
