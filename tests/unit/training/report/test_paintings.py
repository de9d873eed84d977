"""Painted faces are the generator's answer to the same photo's feature."""

from pathlib import Path

import numpy as np
import pytest
import torch

from contract.manifest import Method
from tests.unit.training.samples import SOURCE, SOURCE_DIM, TARGET_DIM, sample_pairs
from training.methods.registry import empty_translator
from training.report.paintings import generator_of, paint
from training.split import split_identities


def test_each_painting_stands_beneath_its_own_photo_of_somebody_held_out(tmp_path: Path) -> None:
    pairs = sample_pairs(tmp_path)
    assert pairs.images is not None
    split = split_identities(pairs)
    translator = empty_translator(Method.R3AN, SOURCE_DIM, TARGET_DIM).eval()
    paintings = paint(pairs, SOURCE, split.held_out, {"r3an": translator})
    held_out = np.unique(pairs.identities[split.held_out])
    chosen = np.concatenate([np.flatnonzero(pairs.identities == identity)[:3] for identity in held_out])
    assert paintings.subjects == np.repeat(np.arange(len(held_out)), 3).tolist()
    np.testing.assert_array_equal(paintings.real, pairs.images[chosen])
    generator = generator_of(translator)
    assert generator is not None
    with torch.no_grad():
        faces = generator(translator.prepare(torch.from_numpy(np.asarray(pairs.features[SOURCE][chosen]))))
    pixels = (faces.numpy().transpose(0, 2, 3, 1) + 1) * 127.5
    assert np.abs(paintings.painted["r3an"] - pixels).max() <= 0.51


@pytest.mark.parametrize(("method", "paints"), [(Method.R3AN, True), (Method.AFFINE, False), (Method.FC, False)])
def test_only_methods_with_a_generator_paint(method: Method, paints: bool) -> None:
    assert (generator_of(empty_translator(method, 5, 4)) is not None) is paints
