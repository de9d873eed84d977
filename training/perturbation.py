"""Worse pairs, made of good ones: as if encoders were noisy, or parts of features lost."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from contract.vectors import NORM_MIN, Features, l2_normalize
from training.pairs import PairedFeatures, allocate

NOISE_LENGTH = 0.5  # of the noise beside a unit-length feature
BLOCK_ROWS = 8192

Change = Callable[[Features, np.random.Generator], Features]


def add_noise(pairs: PairedFeatures, seed: int, folder: Path) -> PairedFeatures:
    """Features at unit length, in every space, plus Gaussian noise of half that length."""
    return _derive(pairs, "gaussian", dict.fromkeys(pairs.features, _noisy), seed, folder)


def drop_halves(pairs: PairedFeatures, source: str, seed: int, folder: Path) -> PairedFeatures:
    """Source features of which half the entries are zero, others in each row; targets stay as they are."""
    return _derive(pairs, "half-missing", {source: _halved}, seed, folder)


def _derive(pairs: PairedFeatures, name: str, changes: dict[str, Change], seed: int, folder: Path) -> PairedFeatures:
    """Pairs with some spaces changed, block by block into mapped files in `folder`, and a fingerprint that says so."""
    folder.mkdir(parents=True)
    changed: dict[str, Features] = {}
    for number, (space, change) in enumerate(changes.items()):
        features, generator = pairs.features[space], np.random.default_rng((seed, number))
        changed[space] = allocate(folder / f"{number}.npy", features.shape, np.float32)
        for start in range(0, len(features), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            changed[space][rows] = change(np.asarray(features[rows]), generator)
    fingerprint = hashlib.sha256(f"{pairs.fingerprint} {name} {seed}".encode()).hexdigest()
    return replace(pairs, fingerprint=fingerprint, features=pairs.features | changed)


def _noisy(features: Features, generator: np.random.Generator) -> Features:
    noise = generator.standard_normal(features.shape, dtype=np.float32)  # [n, d], of length sqrt(d) on average
    return l2_normalize(features) + noise * np.float32(NOISE_LENGTH / np.sqrt(features.shape[1]))


def _halved(features: Features, generator: np.random.Generator) -> Features:
    missing = features.shape[1] // 2
    lost = generator.random(features.shape).argpartition(missing, axis=1)[:, :missing]  # [n, d // 2]
    halved = features.copy()
    np.put_along_axis(halved, lost, np.float32(0), axis=1)
    without_direction = (
        np.linalg.norm(halved, axis=1) < NORM_MIN
    )  # of a feature with few entries: nothing to learn from
    halved[without_direction] = features[without_direction]
    return halved
