"""A stage with many distractors is judged without a copy of them."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contract.manifest import Method
from tests.unit.training.samples import ignore_iteration
from training import confidence as confidence_module
from training import proof
from training.calibration import calibrate_pooled
from training.comparison import GALLERY_BLOCK
from training.config import FitConfig
from training.fit import fit_pairs
from training.folds import judge_pooled, set_folds
from training.models.translator import Translator, translate
from training.pairs import DISTRACTOR, PairedFeatures
from training.proof import Stage, confidence, judge_natives, prove, set_stage
from training.split import Split, identity_folds, split_identities
from training.trust import calibration_check

IDENTITIES, FACES, DISTRACTORS, DIM = 20, 3, 60_000, 128
COPY_BYTES = 4 * DISTRACTORS * DIM  # of the distractors in one space: 31 MB
PEAK_BYTES_MAX = 26 * 2**20  # what a block and the numbers of all rows take


@pytest.fixture(scope="module")
def pairs() -> PairedFeatures:
    generator = np.random.default_rng(0)
    known = generator.standard_normal((IDENTITIES, DIM), np.float32).repeat(FACES, axis=0)
    features = [np.concatenate([known, generator.standard_normal((DISTRACTORS, DIM), np.float32)]) for _ in range(2)]
    for side in features:
        side[: len(known)] += 0.5 * generator.standard_normal(known.shape, np.float32)
    identities = np.append(np.arange(IDENTITIES).repeat(FACES), np.full(DISTRACTORS, DISTRACTOR)).astype(np.int32)
    return PairedFeatures(
        Path("pairs.parquet"), "0" * 64, identities, dict(zip(("old", "new"), features, strict=True)), None, {}
    )


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def fitted(pairs: PairedFeatures, split: Split, folder: Path) -> Translator:
    config = FitConfig(method=Method.PROCRUSTES)
    return fit_pairs(pairs, split.training, "old", "new", config, folder, ignore_iteration)[0]


def test_a_stage_and_its_judgement_hold_no_copy_of_the_distractors(pairs: PairedFeatures, tmp_path: Path) -> None:
    split = split_identities(pairs)
    translator = fitted(pairs, split, tmp_path)

    def judge() -> None:
        stage = set_stage(pairs, split, "old", "new")
        judge_natives(stage)
        calibration_check(stage, prove(translator, stage))

    assert peak_bytes(judge) < PEAK_BYTES_MAX < COPY_BYTES


def test_five_folds_hold_no_copy_of_the_distractors(pairs: PairedFeatures) -> None:
    def judge() -> None:
        stages = set_folds(pairs, identity_folds(pairs, 5, 0), "old", "new", same_photo=False)
        searches = [(s.target_probes, s.probe_identities, s.target_gallery, s.gallery_identities) for s in stages]
        judge_pooled(searches)
        calibrate_pooled(searches)

    assert peak_bytes(judge) < PEAK_BYTES_MAX < COPY_BYTES


def test_confidence_reads_no_more_held_out_faces_than_it_learns_from(
    pairs: PairedFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confidence_module, "ROWS_MAX", 1000)
    split = split_identities(pairs)
    assert peak_bytes(lambda: confidence(pairs, split, "old", "new")) < PEAK_BYTES_MAX < COPY_BYTES


def test_a_translated_gallery_is_never_whole(
    pairs: PairedFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = split_identities(pairs)
    translator, stage = fitted(pairs, split, tmp_path), set_stage(pairs, split, "old", "new")
    rows = []

    def count_rows(module: Translator, features: np.ndarray) -> np.ndarray:
        rows.append(len(features))
        return translate(module, features)

    monkeypatch.setattr(proof, "translate", count_rows)
    proof.judge_gallery_direction(translator, stage)
    assert sum(rows) >= DISTRACTORS
    assert max(rows) <= GALLERY_BLOCK


def test_what_is_read_block_by_block_is_what_a_copy_would_hold(pairs: PairedFeatures) -> None:
    split = split_identities(pairs)
    lazy = set_stage(pairs, split, "old", "new")
    whole = {name: getattr(lazy, name) for name in Stage.__dataclass_fields__}
    for name in ("raw_gallery", "source_gallery", "target_gallery"):
        whole[name] = whole[name][:]
        assert whole[name].shape == getattr(lazy, name).shape == (len(lazy.gallery_identities), DIM)
    np.testing.assert_allclose(np.linalg.norm(whole["source_gallery"], axis=1), 1, rtol=1e-5)
    assert judge_natives(lazy) == judge_natives(Stage(**whole))
