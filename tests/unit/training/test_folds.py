"""Folds judged as one: a probe meets the gallery of its own fold only."""

from pathlib import Path

import numpy as np
import pytest

from contract.vectors import l2_normalize
from tests.unit.training.samples import SOURCE, TARGET, sample_columns, sample_pairs, write_pairs
from training.calibration import Search, calibrate, calibrate_pooled
from training.errors import DataError
from training.folds import confusion, has_second_faces, judge_pooled, set_folds
from training.pairs import DISTRACTOR, read_pairs
from training.split import identity_folds


def make_search(seed: int, *, first_identity: int, subjects: int = 30, probes: int = 50) -> Search:
    """Noisy probes of some of a gallery's subjects, and two distractors."""
    rng = np.random.default_rng(seed)
    identities = np.arange(first_identity, first_identity + subjects)
    gallery = rng.normal(size=(subjects + 2, 12)).astype(np.float32)
    shown = rng.integers(subjects, size=probes)
    noisy = (gallery[shown] + 0.9 * rng.normal(size=(probes, 12))).astype(np.float32)
    whose = np.append(identities, [DISTRACTOR, DISTRACTOR]).astype(np.int32)
    return noisy, identities[shown].astype(np.int32), gallery, whose


SEARCHES = [make_search(0, first_identity=0), make_search(1, first_identity=100, subjects=20, probes=70)]


def test_pooled_rates_are_those_of_all_pairs_within_folds() -> None:
    hits, genuine, impostor = [], [], []
    for probes, whose, gallery, enrolled in SEARCHES:
        similarities = l2_normalize(probes) @ l2_normalize(gallery).T
        own = whose[:, None] == enrolled
        hits += [enrolled[row.argmax()] == identity for row, identity in zip(similarities, whose, strict=True)]
        genuine.append(similarities[own])
        impostor.append(similarities[~own])
    falling = -np.sort(-np.concatenate(impostor))
    threshold = falling[int(1e-3 * len(falling))]
    judged = judge_pooled(SEARCHES)
    assert judged.rank_1.value == pytest.approx(np.mean(hits))
    assert judged.tar_at_far["1e-3"].value == pytest.approx((np.concatenate(genuine) > threshold).mean())
    assert judged.rank_1.low < judged.rank_1.value < judged.rank_1.high


def test_a_fold_without_a_probe_adds_nothing() -> None:
    probes, whose, gallery, enrolled = make_search(2, first_identity=500)
    assert judge_pooled([*SEARCHES, (probes[:0], whose[:0], gallery, enrolled)]) == judge_pooled(SEARCHES)


def test_a_pooled_calibration_counts_the_impostors_of_every_fold() -> None:
    assert calibrate_pooled(SEARCHES[:1]) == calibrate(*SEARCHES[0])
    assert calibrate_pooled(SEARCHES).impostor_pairs == 50 * 31 + 70 * 21


def test_confusion_is_the_loss_of_telling_a_face_from_other_identities() -> None:
    rng = np.random.default_rng(0)
    translated, targets = (l2_normalize(rng.normal(size=(8, 5)).astype(np.float32)) for _ in range(2))
    identities = np.asarray([0, 0, 0, 1, 1, 2, 3, 3], np.int32)
    for row, loss in enumerate(confusion(translated, targets, identities)):
        others = [other for other in range(8) if other == row or identities[other] != identities[row]]
        odds = np.exp(targets[others].astype(np.float64) @ translated[row] / 0.05)
        assert loss == pytest.approx(-np.log(odds[others.index(row)] / odds.sum()), rel=1e-4)


def test_faces_look_for_a_second_face_or_for_their_own_photo(tmp_path: Path) -> None:
    pairs = sample_pairs(tmp_path)
    folds = identity_folds(pairs, 3, seed=0)
    assert has_second_faces(pairs)
    for same_photo, probes, gallery in ((False, 12, 4), (True, 16, 16)):
        for stage in set_folds(pairs, folds, SOURCE, TARGET, same_photo=same_photo):
            assert (len(stage.probe_identities), len(stage.gallery_identities)) == (probes, gallery)
    pairs.identities[:] = np.arange(len(pairs))
    pairs.identities[:3] = DISTRACTOR
    assert not has_second_faces(pairs)
    stage = set_folds(pairs, identity_folds(pairs, 3, seed=0), SOURCE, TARGET, same_photo=True)[0]
    assert (stage.probe_identities == DISTRACTOR).sum() == 0
    assert (stage.gallery_identities == DISTRACTOR).sum() == 3


def test_folds_of_too_few_impostor_pairs_are_refused(tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "few.parquet", sample_columns(identities=10, faces=2))
    pairs = read_pairs(file, [SOURCE, TARGET], tmp_path / "cache")
    with pytest.raises(DataError, match="column identity: 5 folds make 10 impostor pairs"):
        set_folds(pairs, identity_folds(pairs, 5, seed=0), SOURCE, TARGET, same_photo=False)
