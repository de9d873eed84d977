"""Reading a run: what is missing is empty, what is damaged is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.report.samples import FINGERPRINT, judgement, make_run, make_summary, rate
from training.errors import DataError
from training.report.run import read_run
from training.run_folder import SUMMARY_FILE

POINT = {"kind": "all", "method": "fc", "rows": 5, "identities": 2, "rank_1": rate(0.5), "seconds": 1.0}
DATA = {"source": "old-10", "target": "new-8", "data_fingerprint": FINGERPRINT}
CURVE = DATA | {"points": [POINT]}
FOLDS = DATA | {"folds": 3, "identification": {"fc": judgement(0.5)}, "seed": 0}


def write(file: Path, content: object) -> Path:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_a_run_without_histories_candidates_or_later_parts_is_read(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert run.summary.methods == ("residual", "affine")
    assert (run.histories, run.calibrations, run.target_calibration) == ({}, {}, None)
    assert not run.summary.rank_1_difference


def test_what_is_given_beside_it_is_read(tmp_path: Path) -> None:
    make_run(tmp_path)
    run = read_run(
        tmp_path,
        learning_curve=write(tmp_path / "l.json", CURVE),
        crossvalidation=write(tmp_path / "c.json", FOLDS),
    )
    assert run.learning_curve is not None
    assert run.learning_curve.points[0].rank_1.value == 0.5
    assert run.crossvalidation is not None
    assert run.crossvalidation.folds == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is no JSON file"),
        ("[]", "is no JSON object"),
        (CURVE | {"points": [POINT | {"rows": 0}]}, r"points\.0\.rows"),
        (CURVE | {"source": "other"}, "is of other to new-8, the bake-off of old-10 to new-8"),
        ({key: CURVE[key] for key in ("source", "target", "points")}, "data_fingerprint: Field required"),
    ],
)
def test_a_damaged_or_foreign_learning_curve_is_refused_by_file_and_place(
    tmp_path: Path, content: object, words: str
) -> None:
    make_run(tmp_path)
    with pytest.raises(DataError, match=rf"l\.json: .*{words}"):
        read_run(tmp_path, learning_curve=write(tmp_path / "l.json", content))


@pytest.mark.parametrize(("given", "content"), [("learning_curve", CURVE), ("crossvalidation", FOLDS)])
def test_what_was_made_from_other_data_is_refused_with_both_files(
    tmp_path: Path, given: str, content: dict[str, Any]
) -> None:
    make_run(tmp_path)
    other = write(tmp_path / "other.json", content | {"data_fingerprint": "b" * 64})
    with pytest.raises(DataError) as refused:
        read_run(tmp_path, **{given: other})
    assert str(refused.value) == f"{other}: was made from other data than {tmp_path / SUMMARY_FILE}"


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    make_run(tmp_path)
    with pytest.raises(DataError, match=r"l\.json: no such file"):
        read_run(tmp_path, learning_curve=tmp_path / "l.json")


def test_a_folder_without_a_summary_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"bakeoff\.json: no such file; `r3an bakeoff`"):
        read_run(tmp_path)


def test_an_abstention_curve_whose_parts_differ_in_length_is_refused(tmp_path: Path) -> None:
    summary = make_summary(abstention={"fc": {"kept": [1.0, 0.5], "rank_1": [0.9]}})
    write(tmp_path / SUMMARY_FILE, summary)
    with pytest.raises(DataError, match=r"bakeoff\.json: abstention\.fc: .*different lengths"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"winner": "fc"}, "the winner fc is none of the trained methods"),
        ({"training": {}}, "the winner residual is none of the trained methods"),
        ({"without": "affine"}, "identification has no row of affine"),
        ({"without": "source native"}, "identification has no row of source native"),
        ({"without": "target native"}, "identification has no row of target native"),
        ({"cmc": {}}, "cmc: .*at least 1 item"),
        ({"cmc": {"residual": []}}, r"cmc\.residual: .*at least 1 item"),
    ],
)
def test_a_summary_that_contradicts_itself_is_refused_in_one_line(
    tmp_path: Path, parts: dict[str, Any], words: str
) -> None:
    summary = make_summary(**parts)
    summary["identification"].pop(summary.pop("without", None), None)
    write(tmp_path / SUMMARY_FILE, summary)
    with pytest.raises(DataError, match=rf"bakeoff\.json: {words}") as refused:
        read_run(tmp_path)
    assert "\n" not in str(refused.value)
