"""On what a learning curve trains: nested parts of the training identities, as they are or worse.

Kinds of pairs:

- `clean`: as they are.
- `gaussian`: to each unit-length source and target feature, Gaussian noise of half its length is added.
- `half-missing`: half of each source feature's entries, drawn anew for each row, are zero.
- `darker-faces`: another domain within one data set (the paper's Table 4): the half of the training identities whose
  face crops are darkest on average.
- `other-domain`: another data set, all of its known people.

The last two are one set of rows each, and `clean` then has a part of as many rows, drawn from all training identities,
to compare with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from training.errors import DataError
from training.methods.base import Rows, chunks
from training.pairs import DISTRACTOR, IMAGE, PairedFeatures
from training.perturbation import add_noise, drop_halves
from training.split import Split

ALL = "all"


class Kind(StrEnum):
    """What becomes of the training pairs."""

    CLEAN = "clean"
    GAUSSIAN = "gaussian"
    HALF_MISSING = "half-missing"
    DARKER_FACES = "darker-faces"
    OTHER_DOMAIN = "other-domain"


DOMAINS = (Kind.DARKER_FACES, Kind.OTHER_DOMAIN)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where training pairs come from."""

    pairs: PairedFeatures
    split: Split
    source: str
    other: PairedFeatures | None  # of `other-domain`
    seed: int  # of parts and of perturbations
    folder: Path  # receives perturbed copies


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """One point of one curve before a method is trained on it."""

    kind: Kind
    asked: str  # a number of rows, or "all"
    pairs: PairedFeatures
    rows: Rows


def training_sets(sources: Sources, kinds: list[Kind], counts: list[int]) -> Iterator[TrainingSet]:
    """The sets of each kind, smallest first; all rows are always the last one. Counts beyond that are left out.

    Raises:
        DataError: the images that a kind needs were not read.
    """
    domains = {kind: _domain(sources, kind) for kind in kinds if kind in DOMAINS}
    as_many = {len(rows) for _, rows in domains.values()}
    for kind in dict.fromkeys([*kinds, *([Kind.CLEAN] if domains else [])]):
        if kind in DOMAINS:
            pairs, rows = domains[kind]
            yield TrainingSet(kind, ALL, pairs, rows)
            continue
        wanted = sorted({*(counts if kind in kinds else []), *(as_many if kind == Kind.CLEAN else [])})
        pairs, training = _perturbed(sources, kind), sources.split.training
        for count in wanted:
            if count < len(training):
                yield TrainingSet(kind, str(count), pairs, nested_part(pairs, training, count, sources.seed))
        if kind in kinds:
            yield TrainingSet(kind, ALL, pairs, training)


def nested_part(pairs: PairedFeatures, rows: Rows, count: int, seed: int) -> Rows:
    """Rows of the first whole identities, in an order drawn by seed, that make at least `count`; greater parts hold it.

    Two identities at least: most methods set some aside.
    """
    identities, places = np.unique(pairs.identities[rows], return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(identities))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    reached = np.cumsum(np.bincount(places)[order])  # rows of the first identities in this order
    last = max(1, int(np.searchsorted(reached, min(count, len(rows)))))
    return np.asarray(rows[rank[places] <= last])


def darker_half(pairs: PairedFeatures, rows: Rows) -> Rows:
    """Rows of the half of their identities whose crops are darkest, by the mean over all pixels of all faces.

    Raises:
        DataError: the pairs were read without images.
    """
    if pairs.images is None:
        raise DataError(str(pairs.path), "read without images, which darker-faces needs", column=IMAGE)
    identities, places = np.unique(pairs.identities[rows], return_inverse=True)
    brightness = np.concatenate([pairs.images[part].mean(axis=(1, 2, 3)) for part in chunks(rows)])  # [n]
    mean = np.bincount(places, weights=brightness) / np.bincount(places)  # [I]
    darkest = np.argsort(mean, kind="stable")[: len(identities) // 2]
    return np.asarray(rows[np.isin(places, darkest)])


def _domain(sources: Sources, kind: Kind) -> tuple[PairedFeatures, Rows]:
    if kind == Kind.OTHER_DOMAIN and sources.other is not None:
        return sources.other, np.flatnonzero(np.asarray(sources.other.identities) != DISTRACTOR)
    return sources.pairs, darker_half(sources.pairs, sources.split.training)


def _perturbed(sources: Sources, kind: Kind) -> PairedFeatures:
    if kind == Kind.GAUSSIAN:
        return add_noise(sources.pairs, sources.seed, sources.folder / kind)
    if kind == Kind.HALF_MISSING:
        return drop_halves(sources.pairs, sources.source, sources.seed, sources.folder / kind)
    return sources.pairs
