"""A moved gallery is judged as a bake-off judges it."""

from pathlib import Path

import numpy as np

from benchmarks.gallery_client import Found
from benchmarks.moved_faces import is_hit, moved_faces_result, rate_of
from benchmarks.results import Figure
from contract.manifest import Method
from tests.unit.training.samples import SOURCE, TARGET, write_pairs
from training.config import FitConfig
from training.progress import view_progress


def test_a_tie_counts_against_the_probe() -> None:
    own, other = Found("face-1", "person-1", 0.8), Found("face-2", "person-2", 0.8)
    assert is_hit([own], "person-1")
    assert is_hit([own, Found("face-2", "person-2", 0.7)], "person-1")
    assert not is_hit([own, other], "person-1")
    assert not is_hit([other, own], "person-1")


def test_a_rate_lies_within_its_interval() -> None:
    rate = rate_of(np.array([True, True, False, True]), np.array([1, 1, 2, 3], np.int32))
    assert rate.value == 0.75
    assert rate.low <= rate.value <= rate.high


def test_a_gallery_is_moved_and_answers_as_it_is_judged_in_memory(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.parquet")
    config = FitConfig(method=Method.AFFINE)
    with view_progress(as_json=True) as view:
        result = moved_faces_result("moved-faces", "command", pairs, SOURCE, TARGET, config, tmp_path / "out", view)
    for way in ("gallery moved", "everybody enrolled anew", "gallery kept, probes translated"):
        assert isinstance(result.figures[f"rank-1, {way}"], Figure)
    (gap,) = [claim for claim in result.claims if "gap" in claim.what]
    assert gap.holds
