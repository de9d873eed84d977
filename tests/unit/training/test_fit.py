"""A fit's folder: what lies in it is taken up, or refused by name before anything is trained."""

import json
from pathlib import Path

import numpy as np
import pytest

from contract.manifest import Method
from tests.unit.training.samples import SOURCE, TARGET, ignore_iteration, sample_pairs
from training.config import FitConfig
from training.errors import ConfigError
from training.fit import FACTS_FILE, SECONDS_FILE, FittedFacts, fit_pairs


def fit(folder: Path) -> FittedFacts:
    pairs = sample_pairs(folder)
    rows = np.arange(len(pairs) // 2)
    config = FitConfig(method=Method.PROCRUSTES)
    return fit_pairs(pairs, rows, SOURCE, TARGET, config, folder / "out", ignore_iteration)[1]


def test_seconds_of_earlier_runs_count(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / SECONDS_FILE).write_text("100.5")
    assert fit(tmp_path).training.seconds >= 100.5
    assert json.loads((tmp_path / "out" / SECONDS_FILE).read_text()) > 100.5


@pytest.mark.parametrize("content", [b"", b"12.", b"[1]", b"null", b'"1"', b"NaN", b"-1", b"\xff"])
def test_damaged_seconds_are_refused_by_name_before_training(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / SECONDS_FILE
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="delete it") as refused:
        fit(tmp_path)
    assert str(refused.value).startswith(f"{file}: ")
    assert file.read_bytes() == content
    assert not (tmp_path / "out" / FACTS_FILE).exists()
