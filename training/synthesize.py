"""Paired features out of nothing: a world of faces, two encoders trained on some of its people, features of others."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
from torch import nn

from contract.vectors import Features
from training import synthetic_faces as world
from training.encoders.networks import FEATURE_DIM
from training.encoders.train import EncoderKind, embed, train_encoder
from training.errors import DataError
from training.pairs import IDENTITY, IMAGE, IMAGE_ID

SPACES = tuple(f"synthetic-{kind}-{FEATURE_DIM}" for kind in EncoderKind)
ENCODER_PEOPLE = 1000  # the encoders learn from them; none of them is written
ENCODER_PHOTOS = 16_000  # of them, equally many of each
ITERATIONS: Mapping[EncoderKind, int] = {EncoderKind.CONV: 800, EncoderKind.RESIDUAL: 800}
ROW_GROUP_ROWS = 1024
JPEG_QUALITY = 95

OnProgress = Callable[[str, int, int], None]  # (what, done, of how many)


def synthesize(
    path: Path,
    *,
    identities: int,
    faces_per_identity: int,
    seed: int,
    on_progress: OnProgress = lambda what, done, total: None,
    iterations: Mapping[EncoderKind, int] = ITERATIONS,
) -> dict[str, Any]:
    """Write paired features of `identities` people, none of whom the two encoders were trained on; return a summary.

    The same seed gives the same faces and, on one machine, the same features. Memory holds the encoders' training
    faces (150 MB) and one row group. The file appears whole or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    started = time.monotonic()
    rows = identities * faces_per_identity
    with _whole_or_nothing(path) as staged, pq.ParquetWriter(staged, _schema()) as writer:
        encoders = _train_encoders(seed, iterations, on_progress)
        for table in _tables(encoders, identities, faces_per_identity, seed):
            writer.write_table(table)
            on_progress("writing paired features", int(table[IDENTITY][-1].as_py() + 1) * faces_per_identity, rows)
    return {
        "path": str(path),
        "identities": identities,
        "faces": rows,
        "spaces": list(SPACES),
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
    }


@contextmanager
def _whole_or_nothing(path: Path) -> Iterator[Path]:
    """A hidden file beside `path` that takes its place at the end, and vanishes if there is no end."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(descriptor)
    except OSError as error:
        raise DataError(str(path), f"cannot be written: {error.strerror}") from error
    staged = Path(name)
    try:
        yield staged
        staged.chmod(0o644)
        staged.replace(path)
    except OSError as error:
        raise DataError(str(path), f"cannot be written: {error.strerror}") from error
    finally:
        staged.unlink(missing_ok=True)


def _train_encoders(seed: int, iterations: Mapping[EncoderKind, int], on_progress: OnProgress) -> list[nn.Module]:
    faces = ENCODER_PHOTOS // ENCODER_PEOPLE
    people_at_once = ROW_GROUP_ROWS // faces
    painted: list[world.Images] = []
    for first in range(0, ENCODER_PEOPLE, people_at_once):
        count = min(people_at_once, ENCODER_PEOPLE - first)
        painted.append(_photos(first, count, faces, seed, first_photo=first * faces))
        on_progress("painting faces", (first + count) * faces, ENCODER_PHOTOS)
    images = np.concatenate(painted)
    labels = np.repeat(np.arange(ENCODER_PEOPLE, dtype=np.int32), faces)
    encoders = []
    for number, (space, kind) in enumerate(zip(SPACES, EncoderKind, strict=True)):
        report = partial(on_progress, f"training {space}")
        own_seed = 2 * seed + number
        encoders.append(
            train_encoder(kind, images, labels, seed=own_seed, iterations=iterations[kind], on_progress=report)
        )
    return encoders


def _tables(encoders: list[nn.Module], identities: int, faces: int, seed: int) -> Iterator[pa.Table]:
    people_at_once = max(1, ROW_GROUP_ROWS // faces)
    for first in range(0, identities, people_at_once):
        count = min(people_at_once, identities - first)
        first_photo = ENCODER_PHOTOS + first * faces
        images = _photos(ENCODER_PEOPLE + first, count, faces, seed, first_photo=first_photo)
        numbers = np.repeat(np.arange(first, first + count, dtype=np.int32), faces)
        columns: list[pa.Array[Any]] = [
            pa.array([f"{number:07d}-{row % faces:04d}" for row, number in enumerate(numbers)]),
            pa.array(numbers),
            pa.array([simplejpeg.encode_jpeg(image, quality=JPEG_QUALITY) for image in images], pa.binary()),
            *(_feature_array(embed(encoder, images)) for encoder in encoders),
        ]
        yield pa.Table.from_arrays(columns, schema=_schema())


def _photos(first_person: int, people: int, faces: int, seed: int, *, first_photo: int) -> world.Images:
    """Photos [people * faces, 56, 56, 3]: `faces` of each person in turn."""
    persons = np.repeat(world.identities(people, seed, first=first_person), faces, axis=0)
    return world.render(persons, world.nuisances(people * faces, seed, first=first_photo))


def _schema() -> pa.Schema:
    facts: list[pa.Field[Any]] = [pa.field(IMAGE_ID, pa.string()), pa.field(IDENTITY, pa.int32())]
    features = [pa.field(space, pa.list_(pa.float32(), FEATURE_DIM)) for space in SPACES]
    return pa.schema([*facts, pa.field(IMAGE, pa.binary()), *features])


def _feature_array(features: Features) -> "pa.Array[Any]":
    return pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), FEATURE_DIM)
