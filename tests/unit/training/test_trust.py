"""Confidence judged on the held-out side of a data set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.samples import SOURCE, TARGET, sample_pairs
from training import trust
from training.pairs import PairedFeatures
from training.proof import set_stage
from training.split import split_identities
from training.trust import Trust, judge_confidence


def judged(pairs: PairedFeatures) -> Trust:
    split = split_identities(pairs)
    return judge_confidence(pairs, split, set_stage(pairs, split, SOURCE, TARGET), SOURCE, TARGET)


def test_every_probe_of_the_stage_has_its_score(tmp_path: Path) -> None:
    pairs = sample_pairs(tmp_path)
    split = split_identities(pairs)
    stage = set_stage(pairs, split, SOURCE, TARGET)
    found = judge_confidence(pairs, split, stage, SOURCE, TARGET)
    np.testing.assert_array_equal(found.scores, found.confidence.score(stage.raw_probes))
    assert len(found.scores) == len(stage.probe_identities)


def test_dark_crops_are_judged_where_there_are_crops(tmp_path: Path) -> None:
    pairs = sample_pairs(tmp_path)
    kinds = {"wrong-space", "gaussian-noise", "noisy-faces", "half-missing"}
    assert set(judged(replace(pairs, images=None)).auroc) == kinds
    assert set(judged(pairs).auroc) == kinds | {"dark-crops"}


def test_vectors_of_no_face_are_told_from_faces(tmp_path: Path) -> None:
    found = judged(sample_pairs(tmp_path)).auroc
    assert found["gaussian-noise"].value > 0.9
    assert found["half-missing"].value > 0.7


def test_of_many_held_out_faces_a_bounded_number_is_drawn_and_always_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = sample_pairs(tmp_path)
    everyone = judged(pairs).auroc
    monkeypatch.setattr(trust, "FACES_MAX", 12)
    drawn = judged(pairs).auroc
    assert drawn != everyone
    assert drawn == judged(pairs).auroc
