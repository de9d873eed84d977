"""Who is learned from and who is set aside: by identity, never both."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.samples import IDENTITIES, sample_pairs
from training.errors import DataError
from training.pairs import DISTRACTOR, PairedFeatures
from training.split import HELD_OUT_SHARE, identity_folds, split_identities


@pytest.fixture
def pairs(tmp_path: Path) -> PairedFeatures:
    return sample_pairs(tmp_path)


def test_an_identity_is_on_one_side_and_a_distractor_is_held_out(pairs: PairedFeatures) -> None:
    pairs.identities[5:9] = DISTRACTOR
    identities, split = np.asarray(pairs.identities), split_identities(pairs)
    learned, held_out = (set(identities[rows].tolist()) for rows in (split.training, split.held_out))
    assert not learned & held_out
    assert DISTRACTOR in held_out
    assert len(held_out - {DISTRACTOR}) == round(IDENTITIES * HELD_OUT_SHARE)
    assert sorted([*split.training, *split.held_out]) == list(range(len(pairs)))


def test_folds_hold_each_identity_out_once_and_never_train_on_it_or_on_a_distractor(pairs: PairedFeatures) -> None:
    pairs.identities[5:9] = DISTRACTOR
    identities = np.asarray(pairs.identities)
    folds = identity_folds(pairs, 3, seed=0)
    known = set(identities.tolist()) - {DISTRACTOR}
    held_out = [set(identities[fold.held_out].tolist()) for fold in folds]
    assert sorted(identity for side in held_out for identity in side - {DISTRACTOR}) == sorted(known)
    for fold, side in zip(folds, held_out, strict=True):
        assert DISTRACTOR in side
        assert set(identities[fold.training].tolist()) == known - side
        assert sorted([*fold.training, *fold.held_out]) == list(range(len(pairs)))


def test_folds_follow_from_their_seed(pairs: PairedFeatures) -> None:
    folds = [[fold.held_out.tolist() for fold in identity_folds(pairs, 3, seed)] for seed in (0, 0, 1)]
    assert folds[0] == folds[1]
    assert folds[0] != folds[2]


def test_too_few_identities_for_the_folds_are_refused(pairs: PairedFeatures) -> None:
    assert len(identity_folds(pairs, IDENTITIES // 2, seed=0)) == IDENTITIES // 2
    with pytest.raises(DataError, match="column identity: 12 identities cannot be divided into 7 folds"):
        identity_folds(pairs, IDENTITIES // 2 + 1, seed=0)
