"""A file ten times as long must be one that training takes."""

from pathlib import Path

import numpy as np

from benchmarks.memory import repeat_pairs
from tests.unit.training.samples import SOURCE, TARGET, sample_pairs
from training.pairs import read_pairs


def test_repeated_pairs_are_read_as_other_people_with_other_vectors(tmp_path: Path) -> None:
    once = sample_pairs(tmp_path)
    rows = repeat_pairs(once.path, 3, tmp_path / "repeated.parquet")
    repeated = read_pairs(tmp_path / "repeated.parquet", [SOURCE, TARGET], tmp_path / "cache-repeated", images=True)
    assert len(repeated) == rows == 3 * len(once)
    assert len(np.unique(repeated.identities)) == 3 * len(np.unique(once.identities))
    assert len(np.unique(repeated.features[SOURCE], axis=0)) == 3 * len(np.unique(once.features[SOURCE], axis=0))
    assert once.images is not None
    assert repeated.images is not None
    assert np.array_equal(repeated.images[-len(once) :], once.images)
