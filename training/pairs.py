"""Paired features: Parquet in, arrays out. Streamed part by part into files that are memory-mapped."""

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contract.manifest import sha256_of
from contract.spaces import FeatureSpace
from contract.vectors import Features
from training import columns
from training.columns import DISTRACTOR, IDENTITY, IMAGE, IMAGE_ID, Digests, Identities, feature_spaces
from training.errors import DataError
from training.images import IMAGE_SIDE, Images
from training.repeats import check_image_ids, check_vectors

__all__ = [
    "DISTRACTOR",
    "IDENTITY",
    "IMAGE",
    "IMAGE_ID",
    "OnRows",
    "PairedFeatures",
    "allocate",
    "feature_spaces",
    "fingerprint",
    "parquet_files",
    "read_pairs",
]

OnRows = Callable[[int, int], None]  # rows done, rows in all
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class PairedFeatures:
    """Rows of one data set in memory-mapped arrays, aligned with each other."""

    path: Path
    fingerprint: str  # sha256 over the files, in name order
    identities: Identities  # [N]
    features: dict[str, Features]  # space id -> [N, dim], raw
    images: Images | None  # [N, 56, 56, 3]
    digests: dict[str, Digests]  # image_id and each space -> [N, 2], of rows as they were read

    def __len__(self) -> int:
        """Rows."""
        return len(self.identities)

    def space(self, name: str) -> FeatureSpace:
        """The feature space of a column."""
        return FeatureSpace(id=name, dim=self.features[name].shape[1])


def read_pairs(
    path: Path, spaces: list[str], cache_dir: Path, *, images: bool = False, on_rows: OnRows | None = None
) -> PairedFeatures:
    """Read the named spaces of a Parquet file, or of a folder of them, through at most 2,048 rows at a time.

    `cache_dir` receives the decoded arrays, so that memory stays flat whatever the number of rows.

    Raises:
        DataError: a file, column or row that cannot be used, by name.
    """
    files = parquet_files(path)
    dims = {space: columns.dimension(files[0], space) for space in spaces}
    names = [IMAGE_ID, IDENTITY, *([IMAGE] if images else [])]
    for file in files:
        columns.check_columns(file, names, dims)
    file_rows = [int(pq.read_metadata(file).num_rows) for file in files]
    rows = sum(file_rows)
    if rows == 0:
        raise DataError(str(path), "holds no rows")
    cache_dir.mkdir(parents=True, exist_ok=True)
    pairs = PairedFeatures(
        path=path,
        fingerprint=fingerprint(files),
        identities=allocate(cache_dir / "identity.npy", (rows,), np.int32),
        features={
            space: allocate(cache_dir / f"{i}.npy", (rows, dim), np.float32)
            for i, (space, dim) in enumerate(dims.items())
        },
        images=allocate(cache_dir / "image.npy", (rows, IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8) if images else None,
        digests={
            name: allocate(cache_dir / f"digests-{i}.npy", (rows, 2), np.uint64)
            for i, name in enumerate([IMAGE_ID, *spaces])
        },
    )
    done = 0
    for file in files:
        for part in columns.read_parts(file, [*names, *spaces]):
            _store(part, pairs, slice(done, done + part.batch.num_rows))
            done += part.batch.num_rows
            if on_rows is not None:
                on_rows(done, rows)
    check_image_ids(pairs.digests[IMAGE_ID], files, file_rows)
    if len(np.unique(pairs.identities[pairs.identities != DISTRACTOR])) < 2:
        raise DataError(str(path), "fewer than two identities", column=IDENTITY)
    for space in [space for space in spaces if dims[space] > 1]:  # of one dimension all are the same, up to length
        check_vectors(pairs.digests[space], pairs.identities, space, files, file_rows)
    return pairs


def parquet_files(path: Path) -> list[Path]:
    """The file, or the `*.parquet` files of a folder in name order. Raises DataError."""
    if path.is_dir():
        files = sorted(path.glob("*.parquet"))
        if not files:
            raise DataError(str(path), "folder without *.parquet files")
        return files
    if not path.is_file():
        raise DataError(str(path), "no such file")
    return [path]


def allocate(file: Path, shape: tuple[int, ...], kind: type[Scalar]) -> NDArray[Scalar]:
    """A new array in a mapped file, for which the disk has room: else writing to it would end the process by SIGBUS.

    Raises:
        DataError: the disk has none, by the file.
    """
    try:
        array = np.lib.format.open_memmap(file, mode="w+", dtype=kind, shape=shape)
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    except OSError as error:
        needed = math.prod(shape) * np.dtype(kind).itemsize
        raise DataError(str(file), f"no room for {needed} bytes: {error.strerror}") from error
    return array


def fingerprint(files: list[Path]) -> str:
    """sha256 of the files' sha256s, in order; one file's own sha256 is not special."""
    return hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()


def _store(part: columns.Part, pairs: PairedFeatures, rows: slice) -> None:
    pairs.digests[IMAGE_ID][rows] = columns.image_id_digests(part)
    pairs.identities[rows] = columns.identities(part)
    for space, array in pairs.features.items():
        array[rows] = columns.features(part, space)
        pairs.digests[space][rows] = columns.vector_digests(array[rows])
    if pairs.images is not None:
        pairs.images[rows] = columns.faces(part)
