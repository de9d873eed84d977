"""Small paired features with a known answer: two linear eyes on the same latent faces."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from contract.manifest import Method
from training.config import FitConfig
from training.methods.base import Fit
from training.methods.registry import entry
from training.pairs import PairedFeatures, read_pairs
from training.split import split_identities

SOURCE, TARGET = "old-8", "new-6"
SOURCE_DIM, TARGET_DIM = 8, 6
LATENT_DIM = 5
IDENTITIES, FACES = 12, 4
ROWS = IDENTITIES * FACES

# A training that leaves the finite numbers within a few iterations.
DIVERGING = FitConfig(method=Method.FC, iterations=40, batch_rows=8, optimizer="sgd", learning_rate=10.0, momentum=0.99)

Columns = dict[str, pa.Array]


def sample_columns(*, identities: int = IDENTITIES, faces: int = FACES, seed: int = 0) -> Columns:
    """Columns of a whole data set, by name."""
    rng = np.random.default_rng(seed)
    eyes = [rng.normal(size=(LATENT_DIM, dim)) for dim in (SOURCE_DIM, TARGET_DIM)]
    identity = np.repeat(np.arange(identities), faces)
    latent = rng.normal(size=(identities, LATENT_DIM))[identity] + 0.1 * rng.normal(size=(len(identity), LATENT_DIM))
    shades = rng.integers(0, 256, (len(identity), 1, 1, 3), dtype=np.uint8)
    return {
        "image_id": pa.array([f"image-{row}" for row in range(len(identity))]),
        "identity": pa.array(identity, pa.int32()),
        "image": pa.array([jpeg(np.tile(shade, (56, 56, 1))) for shade in shades], pa.binary()),
        SOURCE: vectors(latent @ eyes[0] + 0.5),
        TARGET: vectors(latent @ eyes[1] - 0.3),
    }


def vectors(features: NDArray[np.floating]) -> pa.Array:
    """[N, dim] as a fixed-size-list column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(features.astype(np.float32).ravel()), features.shape[1])


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """[H, W, 3] as JPEG."""
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=95)
    return encoded


def png(image: NDArray[np.uint8]) -> bytes:
    """[H, W, 3] as PNG."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_pairs(file: Path, columns: Columns | None = None) -> Path:
    """Write a data set in row groups of seven."""
    pq.write_table(pa.table(sample_columns() if columns is None else columns), file, row_group_size=7)
    return file


def sample_pairs(folder: Path) -> PairedFeatures:
    """A data set as a method is given it, images and all."""
    return read_pairs(write_pairs(folder / "pairs.parquet"), [SOURCE, TARGET], folder / "cache", images=True)


def ignore_iteration(*_: object) -> None:
    """Report to nobody."""


def make_fit(pairs: PairedFeatures, checkpoint: Path, method: Method = Method.FC, **settings: object) -> Fit:
    """A short fit on the training side."""
    taught = {"teacher": Method.AFFINE} if method is Method.DISTILLED else {}
    config = FitConfig.model_validate({"method": method, "iterations": 6, "batch_rows": 8} | taught | settings)
    fit = Fit(pairs, split_identities(pairs).training, SOURCE, TARGET, config, checkpoint, ignore_iteration)
    if config.teacher is None:
        return fit
    lesson = replace(fit, config=FitConfig(method=config.teacher), checkpoint=checkpoint.with_suffix(".teacher"))
    return replace(fit, teacher=entry(config.teacher).fit(lesson))
