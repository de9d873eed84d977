"""Worse pairs: how much worse, where, and that they are known as such."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from contract.vectors import l2_normalize
from tests.unit.training.samples import SOURCE, TARGET, sample_pairs
from training import perturbation
from training.errors import DataError
from training.pairs import PairedFeatures
from training.perturbation import add_noise, drop_halves


@pytest.fixture
def pairs(tmp_path: Path) -> PairedFeatures:
    return sample_pairs(tmp_path)


def test_noise_is_half_as_long_as_the_features_it_is_added_to(pairs: PairedFeatures, tmp_path: Path) -> None:
    noisy = add_noise(pairs, 0, tmp_path / "noisy")
    for space in (SOURCE, TARGET):
        noise = noisy.features[space] - l2_normalize(pairs.features[space])
        lengths = np.linalg.norm(noise, axis=1)
        assert np.sqrt((lengths**2).mean()) == pytest.approx(0.5, rel=0.1)
        assert abs(noise.mean()) < 0.02
    assert noisy.images is pairs.images
    assert noisy.identities is pairs.identities


def test_half_of_each_source_features_entries_are_zero_others_in_each_row(
    pairs: PairedFeatures, tmp_path: Path
) -> None:
    halved = drop_halves(pairs, SOURCE, 0, tmp_path / "halved")
    missing = halved.features[SOURCE] == 0
    assert (missing.sum(axis=1) == 4).all()
    assert len(np.unique(missing, axis=0)) > 20
    np.testing.assert_array_equal(halved.features[SOURCE][~missing], pairs.features[SOURCE][~missing])
    assert halved.features[TARGET] is pairs.features[TARGET]


def test_a_feature_is_never_left_without_direction(pairs: PairedFeatures, tmp_path: Path) -> None:
    pairs.features[SOURCE][:, 1:] = 0
    halved = drop_halves(pairs, SOURCE, 0, tmp_path / "halved")
    np.testing.assert_array_equal(halved.features[SOURCE], pairs.features[SOURCE])


def test_seed_and_kind_are_part_of_the_fingerprint_and_decide_the_features(
    pairs: PairedFeatures, tmp_path: Path
) -> None:
    made = [
        add_noise(pairs, 0, tmp_path / "0"),
        add_noise(pairs, 0, tmp_path / "1"),
        add_noise(pairs, 1, tmp_path / "2"),
        drop_halves(pairs, SOURCE, 0, tmp_path / "3"),
    ]
    prints = [pairs.fingerprint, *(p.fingerprint for p in made)]
    assert prints[1] == prints[2]
    assert len(set(prints)) == 4
    assert all(len(print_) == 64 for print_ in prints)
    np.testing.assert_array_equal(made[0].features[SOURCE], made[1].features[SOURCE])
    assert not np.array_equal(made[0].features[SOURCE], made[2].features[SOURCE])


def test_the_size_of_blocks_changes_no_noise(
    pairs: PairedFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = add_noise(pairs, 0, tmp_path / "whole").features[SOURCE]
    monkeypatch.setattr(perturbation, "BLOCK_ROWS", 7)
    blocks = add_noise(pairs, 0, tmp_path / "blocks").features[SOURCE]
    np.testing.assert_allclose(blocks, whole, atol=1e-6)
    assert isinstance(blocks, np.memmap)


def test_a_full_disk_is_refused_before_a_row_is_changed(
    pairs: PairedFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(DataError, match=r"no room for \d+ bytes: No space left on device"):
        add_noise(pairs, 0, tmp_path / "noisy")
