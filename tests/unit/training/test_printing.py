"""Tables name the methods that have no figures, and why."""

import pytest

from training.printing import print_bakeoff, print_identification, print_learning_curve

RATE = {"value": 0.5, "low": 0.4, "high": 0.6}
ROW = {"rank_1": RATE, "tar_at_far": {"1e-3": RATE, "1e-4": RATE}, "fnir_at_fpir": {"0.01": RATE}}
REASON = "weights are not finite after iteration 3 [see the log]"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("\u2502 \n").split("\u2502")]


def test_a_table_of_judgements_has_a_row_and_a_reason_for_what_diverged(capsys: pytest.CaptureFixture[str]) -> None:
    print_identification("title", {"affine": ROW}, diverged={"fc": REASON})
    printed = capsys.readouterr().out
    assert ["fc", "diverged", "-", "-"] in [cells(line) for line in printed.splitlines()]
    assert f"fc diverged: {REASON}" in printed


def test_a_bakeoffs_table_has_them_too(capsys: pytest.CaptureFixture[str]) -> None:
    summary = {"source": "a", "target": "b", "probes": 5, "gallery_subjects": 3, "winner": "affine"}
    print_bakeoff(summary | {"identification": {"affine": ROW}, "diverged": {"fc": REASON}})
    assert f"fc diverged: {REASON}" in capsys.readouterr().out


def test_a_learning_curves_table_says_at_which_number_of_rows(capsys: pytest.CaptureFixture[str]) -> None:
    point = {"kind": "clean", "method": "affine", "rows": 40, "seconds": 0.1} | ROW
    failed = {"kind": "gaussian", "method": "fc", "asked": "all", "rows": 9600, "reason": REASON}
    print_learning_curve("title", [point], [failed])
    printed = capsys.readouterr().out
    assert ["gaussian", "fc", "9,600", "diverged", "-", "-"] in [cells(line) for line in printed.splitlines()]
    assert f"fc diverged (gaussian, 9,600 rows): {REASON}" in printed
