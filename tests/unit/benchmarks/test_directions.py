"""What is claimed of all directions together: the worst one, and the better half."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.directions import directions_result, judge_directions
from benchmarks.results import Figure
from contract.manifest import Method
from tests.unit.training.samples import SOURCE, TARGET, sample_columns, write_pairs
from training.config import load_config
from training.lessons import facts_of, shipped_lesson
from training.pairs import fingerprint, parquet_files
from training.run_folder import SUMMARY_FILE

DIRECTIONS = [(SOURCE, TARGET), (TARGET, SOURCE)]


def summary(source: str, target: str, *, rank_1: float, tar: float, native: float = 0.9) -> dict[str, Any]:
    def judged(rank: float, accepted: float) -> dict[str, Any]:
        values = {"rank_1": rank, "tar": accepted}
        rates = {key: {"value": value, "low": value - 0.01, "high": value + 0.01} for key, value in values.items()}
        return {"rank_1": rates["rank_1"], "tar_at_far": {"1e-4": rates["tar"]}}

    return {
        "source": source,
        "target": target,
        "winner": "residual",
        "training": {"residual": {"seconds": 2.0}},
        "identification": {
            "residual": judged(rank_1, tar),
            "source native": judged(native, 0.8),
            "target native": judged(0.95, 0.9),
        },
    }


def test_the_worst_direction_and_the_better_half_are_claimed() -> None:
    summaries = [
        summary("a", "b", rank_1=0.9, tar=0.8),
        summary("b", "a", rank_1=0.81, tar=0.4),
        summary("a", "c", rank_1=0.891, tar=0.8),
        summary("c", "a", rank_1=0.99, tar=0.88),
    ]
    result = directions_result("quality-x", "command", summaries)
    worst, half, worst_tar = result.claims
    assert worst.what.startswith("promoted, worst direction (b to a, residual)")
    assert [c.value for c in result.claims] == pytest.approx([0.81 / 0.9, 0.9 / 0.9, 0.4 / 0.8], abs=1e-5)
    assert [c.holds for c in result.claims] == [False, True, False]
    assert worst_tar.goal == 0.94
    assert half.goal == 0.99
    assert result.seconds == 8.0
    assert len(result.figures) == 4 * 2 * 3


def test_seeds_are_averaged_between_the_ends_of_their_intervals() -> None:
    runs = [summary("a", "b", rank_1=rank, tar=0.5) for rank in (0.8, 0.9)]
    figure = directions_result("quality-x", "command", runs).figures["a to b: rank-1, residual"]
    assert isinstance(figure, Figure)
    assert (figure.value, figure.low, figure.high) == pytest.approx((0.85, 0.79, 0.91))


def test_finished_bakeoffs_are_taken_up_whatever_the_order_they_end_in(tmp_path: Path) -> None:
    pairs, told = write_pairs(tmp_path / "pairs.parquet", sample_columns(identities=24)), []
    judge = partial(judge_directions, pairs, ["affine", "procrustes"], [0, 1], tmp_path / "out", 1)
    first = judge(lambda *done: told.append(done))
    summaries = list((tmp_path / "out").rglob("bakeoff.json"))
    written_at = [file.stat().st_mtime_ns for file in summaries]
    assert judge(lambda *_: None) == first
    assert [file.stat().st_mtime_ns for file in summaries] == written_at
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [(run["source"], run["target"]) for run in first] == DIRECTIONS * 2


def test_a_finished_bakeoff_is_taken_up_with_methods_that_had_a_teacher(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.parquet", sample_columns(identities=24))
    config = load_config(Method.DISTILLED, seed=0)
    facts = facts_of(config, shipped_lesson(config, tmp_path))
    trained = {"config": facts, "data_fingerprint": fingerprint(parquet_files(pairs))}
    finished = {f"{a}--{b}": {"source": a, "target": b, "training": {"distilled": trained}} for a, b in DIRECTIONS}
    for folder, summary in finished.items():
        file = tmp_path / "out" / "seed-0" / folder / SUMMARY_FILE
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(summary))
    assert judge_directions(pairs, ["distilled"], [0], tmp_path / "out", 1, lambda *_: None) == [*finished.values()]
