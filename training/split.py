"""Which identities are learned from, and which are set aside for judging."""

from dataclasses import dataclass

import numpy as np

from training.errors import DataError
from training.methods.base import Rows
from training.pairs import DISTRACTOR, IDENTITY, PairedFeatures

HELD_OUT_SHARE = 0.4
SPLIT_SEED = 0  # one split for all methods and seeds of a data set, so that results compare


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of identities to learn from, and rows of identities nobody trains on."""

    training: Rows
    held_out: Rows


def split_identities(pairs: PairedFeatures, held_out_share: float = HELD_OUT_SHARE) -> Split:
    """Divide rows by identity, never an identity between both; distractors are always held out.

    Raises:
        DataError: a side would be left with fewer than two identities.
    """
    identities = np.asarray(pairs.identities)
    unique = np.unique(identities[identities != DISTRACTOR])
    held_out = np.random.default_rng(SPLIT_SEED).permutation(unique)[: round(len(unique) * held_out_share)]
    if len(held_out) < 2 or len(unique) - len(held_out) < 2:
        reason = f"{len(unique)} identities cannot be divided into two sides of at least two"
        raise DataError(str(pairs.path), reason, column=IDENTITY)
    is_held_out = np.isin(identities, held_out) | (identities == DISTRACTOR)
    return Split(np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out))


def identity_folds(pairs: PairedFeatures, folds: int, seed: int) -> list[Split]:
    """Divide rows by identity into `folds` splits that hold each identity out once; distractors always are.

    Raises:
        DataError: there are fewer than two identities for each fold.
    """
    identities = np.asarray(pairs.identities)
    unique = np.unique(identities[identities != DISTRACTOR])
    if len(unique) < 2 * folds:
        reason = f"{len(unique)} identities cannot be divided into {folds} folds of at least two"
        raise DataError(str(pairs.path), reason, column=IDENTITY)
    parts = np.array_split(np.random.default_rng(seed).permutation(unique), folds)
    held_out = [np.isin(identities, part) | (identities == DISTRACTOR) for part in parts]
    return [Split(np.flatnonzero(~side), np.flatnonzero(side)) for side in held_out]
