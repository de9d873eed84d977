"""What is judged of a translator, in both directions of use."""

from pathlib import Path

import numpy as np
import pytest
import torch

from contract.manifest import Method
from tests.unit.training.samples import SOURCE, TARGET, ignore_iteration, sample_columns, write_pairs
from training.config import FitConfig
from training.fit import fit_pairs
from training.models.translator import Translator
from training.pairs import DISTRACTOR, PairedFeatures, read_pairs
from training.proof import Stage, judge_gallery_direction, judge_natives, prove, quality, set_stage
from training.split import Split, split_identities

Scene = tuple[Translator, Stage]


@pytest.fixture
def pairs(tmp_path: Path) -> PairedFeatures:
    file = write_pairs(tmp_path / "pairs.parquet", sample_columns(identities=30))
    return read_pairs(file, [SOURCE, TARGET], tmp_path / "cache")


def translator_of(pairs: PairedFeatures, split: Split, folder: Path) -> Translator:
    config = FitConfig(method=Method.PROCRUSTES)
    return fit_pairs(pairs, split.training, SOURCE, TARGET, config, folder / "fit", ignore_iteration)[0]


@pytest.fixture
def scene(pairs: PairedFeatures, tmp_path: Path) -> Scene:
    split = split_identities(pairs)
    return translator_of(pairs, split, tmp_path), set_stage(pairs, split, SOURCE, TARGET)


def unit(features: torch.Tensor) -> np.ndarray:
    found = features.detach().numpy().astype(np.float64)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def rank_1_by_loops(probes: np.ndarray, names: np.ndarray, gallery: np.ndarray, owners: np.ndarray) -> float:
    hits = []
    for row, who in zip(probes @ gallery.T, names, strict=True):
        own = max(s for s, owner in zip(row, owners, strict=True) if owner == who)
        hits.append(own > max(s for s, owner in zip(row, owners, strict=True) if owner != who))
    return sum(hits) / len(hits)


def test_in_the_gallery_direction_the_gallery_is_translated_and_probes_are_native(scene: Scene) -> None:
    translator, stage = scene
    gallery = unit(translator(torch.from_numpy(stage.raw_gallery[:])))
    expected = rank_1_by_loops(
        unit(torch.from_numpy(stage.target_probes)), stage.probe_identities, gallery, stage.gallery_identities
    )
    found = judge_gallery_direction(translator, stage)
    assert found.rank_1.value == pytest.approx(expected)
    assert prove(translator, stage).gallery_direction == found


def test_calibrations_among_translated_faces_are_of_what_impostors_reach_there(scene: Scene) -> None:
    translator, stage = scene
    gallery = unit(translator(torch.from_numpy(stage.raw_gallery[:])))
    proof = prove(translator, stage)
    probes = {
        "native": unit(torch.from_numpy(stage.target_probes)),
        "translated": unit(torch.from_numpy(proof.translated)),
    }
    found = {"native": proof.native_to_translated, "translated": proof.translated_to_translated}
    impostors = stage.probe_identities[:, None] != stage.gallery_identities[None]
    for kind, calibration in found.items():
        similarities = (probes[kind] @ gallery.T)[impostors]
        assert calibration.impostor_pairs == len(similarities)
        assert (similarities >= calibration.similarity_at(0.1)).mean() == pytest.approx(0.1, abs=0.01)


def test_the_card_tells_both_ways_of_searching_a_gallery_that_was_translated(scene: Scene) -> None:
    translator, stage = scene
    gallery = unit(translator(torch.from_numpy(stage.raw_gallery[:])))
    proof = prove(translator, stage)
    card = quality(stage, judge_natives(stage), proof, {})
    assert card.gallery_direction == judge_gallery_direction(translator, stage)
    assert card.both_translated is not None
    expected = rank_1_by_loops(
        unit(torch.from_numpy(proof.translated)), stage.probe_identities, gallery, stage.gallery_identities
    )
    assert card.both_translated.rank_1.value == pytest.approx(expected)


def test_the_card_counts_each_face_of_nobody_known_as_a_subject(pairs: PairedFeatures, tmp_path: Path) -> None:
    pairs.identities[-5:] = DISTRACTOR
    split = split_identities(pairs)
    stage = set_stage(pairs, split, SOURCE, TARGET)
    proof = prove(translator_of(pairs, split, tmp_path), stage)
    card = quality(stage, judge_natives(stage), proof, {})
    assert card.gallery_subjects == len(stage.gallery_identities)
    assert (stage.gallery_identities == DISTRACTOR).sum() == 5


def test_the_two_directions_are_judged_apart(scene: Scene) -> None:
    translator, stage = scene
    probes = unit(translator(torch.from_numpy(stage.raw_probes)))
    expected = rank_1_by_loops(
        probes, stage.probe_identities, unit(torch.from_numpy(stage.target_gallery[:])), stage.gallery_identities
    )
    proof = prove(translator, stage)
    assert proof.identification.rank_1.value == pytest.approx(expected)
    assert proof.hits.mean() == pytest.approx(expected)
    assert proof.identification != proof.gallery_direction
