"""What a bake-off's result claims of R³AN, of the promoted method and of a student."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.quality import quality_result
from contract.manifest import Method
from training.bakeoff import Outcome
from training.config import load_config

RANK_1 = {"r3an": 0.93, "fc": 0.86, "residual": 0.945, "distilled": 0.926, "source native": 0.95, "target native": 0.94}

CHANGES: dict[str, dict[str, int | float]] = {
    "r3an": {"iterations": 2400, "batch_rows": 64, "teacher_share": 0.75, "face_losses_interval": 2}
}


def rate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


@pytest.fixture
def outcome(tmp_path: Path) -> Outcome:
    methods = ["r3an", "fc", "residual", "distilled"]
    difference = {"value": 0.0, "low": -0.1, "high": 0.1, "share": 0.5}
    summary: dict[str, Any] = {
        "winner": "residual",
        "probes": 10,
        "gallery_subjects": 5,
        "distractors": 1,
        "training": {
            m: {"seconds": 1.0, "config": load_config(Method(m)).facts() | CHANGES.get(m, {})} for m in methods
        },
        "identification": {
            row: {"rank_1": rate(value), "tar_at_far": {}, "fnir_at_fpir": {}} for row, value in RANK_1.items()
        },
        "gallery_direction": {"r3an": {"rank_1": rate(0.5)}},
        "rank_1_behind_winner": {"r3an": rate(0.015)},
        "rank_1_difference": {"r3an": {"residual": difference, "fc": difference}},
    }
    summary["training"]["distilled"]["config"]["teacher"] = "r3an"
    file = tmp_path / "bakeoff.json"
    file.write_text(json.dumps(summary))
    return Outcome(Method.RESIDUAL, tmp_path, file, tmp_path)


def test_the_claims_are_the_rates_of_the_summary(outcome: Outcome) -> None:
    claims = {c.what: c for c in quality_result("quality", "command", outcome).claims}
    cut = claims["r3an: share removed of fc's errors beyond the target native's (the paper says 0.75)"]
    assert (cut.value, cut.holds) == (pytest.approx(1 - (0.94 - 0.93) / (0.94 - 0.86)), True)
    behind = claims["distilled: rank-1 behind its teacher's (r3an)"]
    assert (behind.value, behind.holds) == (pytest.approx(0.004), False)
    assert not claims["r3an: rank-1 minus residual's"].holds
    promoted = claims["residual (promoted): rank-1 over the weaker native's"]
    assert promoted.value == pytest.approx(0.945 / 0.94, abs=1e-5)


def test_a_difference_is_told_once(outcome: Outcome) -> None:
    figures = quality_result("quality", "command", outcome).figures
    told = [key for key in figures if key.endswith(", paired")]
    assert told == ["rank-1 of residual minus r3an, paired", "rank-1 of r3an minus fc, paired"]
    assert "rank-1, gallery translated by r3an" in figures


def test_rows_that_a_teacher_labels_are_no_faces(outcome: Outcome) -> None:
    result = quality_result("quality", "command", outcome)
    assert result.figures["rows presented, r3an"] == 2400 * 64
    assert result.figures["of them real faces, r3an"] == 2400 * 16
    assert result.figures["of those with their photos, r3an"] == 1200 * 16
    claims = {c.what: c for c in result.claims}
    assert not claims["r3an: real faces presented in training"].holds
