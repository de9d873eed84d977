"""What `r3an fit` may be asked, and what contradicts itself."""

from pathlib import Path
from typing import Any

import pytest

from contract.manifest import Method
from tests.unit.training.samples import SOURCE, TARGET, write_pairs
from training.errors import ConfigError
from training.fit_command import FitRequest, run_fit
from training.hardware import Hardware
from training.progress import view_progress

SIDES = {"source": "old-8", "target": "new-6"}
MANIFEST = {"from_manifest": Path("manifest.json")}


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({}, "--source and --target are needed"),
        ({"source": "old-8", "method": Method.AFFINE}, "--source and --target are needed"),
        (SIDES | {"config": Path("fc.toml")}, "--config needs --method"),
        (SIDES | {"hardware": Hardware(devices=2)}, "--devices and --precision need --method"),
        (MANIFEST | {"source": "old-8"}, "--from-manifest names source"),
        (MANIFEST | {"method": Method.AFFINE}, "--from-manifest names source"),
        (MANIFEST | {"seed": 0}, "--from-manifest names source"),
        (MANIFEST | {"config": Path("fc.toml")}, "--from-manifest names source"),
    ],
)
def test_options_that_contradict_each_other_are_refused_before_anything_is_read(
    tmp_path: Path, asked: dict[str, Any], reason: str
) -> None:
    request = FitRequest(pairs=tmp_path / "none.parquet", out=tmp_path / "out", **asked)
    with view_progress(as_json=True) as view, pytest.raises(ConfigError, match=reason):
        run_fit(request, view)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("seed", "used"), [(None, 5), (0, 0), (3, 3)])
def test_the_files_seed_counts_unless_one_is_given(tmp_path: Path, seed: int | None, used: int) -> None:
    config = tmp_path / "affine.toml"
    config.write_text('method = "affine"\nseed = 5\n')
    pairs = write_pairs(tmp_path / "pairs.parquet")
    request = FitRequest(pairs, tmp_path / "out", SOURCE, TARGET, Method.AFFINE, config, seed)
    with view_progress(as_json=True) as view:
        training = run_fit(request, view)["training"]
    assert training["config"]["seed"] == used
