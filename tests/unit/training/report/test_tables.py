"""Tables: order, what is missing, and what is better beyond doubt."""

import pytest

from tests.unit.training.report.samples import judgement, make_summary
from training.report.run import Difference, Summary
from training.report.tables import bakeoff_table, difference_table, gallery_table, signed_points
from training.report.thresholds import check_table


def test_the_bakeoff_is_ordered_by_rank_1_with_the_natives_and_chance_below() -> None:
    table = bakeoff_table(Summary.model_validate(make_summary()))
    assert [row.heading for row in table.rows] == [
        "residual",
        "affine",
        "target native",
        "source native",
        "untranslated",
    ]
    assert [row.best for row in table.rows] == [True, False, False, False, False]
    assert table.columns == ("probe", "rank-1", "TAR at FAR 1e-3", "FNIR at FPIR 0.01", "seconds to train")
    first = table.rows[0].cells
    assert [cell.text for cell in first] == ["0.9000", "0.8500", "0.3000", "3.2"]
    assert first[0].detail == "0.880 to 0.920"
    assert table.rows[2].cells[-1].text == "\u2013", "an encoder was not trained here"


def test_a_rate_that_only_some_rows_have_is_a_dash_in_the_others() -> None:
    summary = make_summary()
    summary["gallery_direction"] = {"affine": judgement(0.5), "residual": judgement(0.7, **{"1e-5": 0.6})}
    table = gallery_table(Summary.model_validate(summary))
    assert table.columns == ("gallery", "rank-1", "TAR at FAR 1e-3", "TAR at FAR 1e-5", "FNIR at FPIR 0.01")
    assert [(row.heading, row.cells[2].text) for row in table.rows] == [("residual", "0.6000"), ("affine", "\u2013")]


def test_a_difference_is_marked_only_when_its_interval_leaves_zero_out() -> None:
    differences = {
        "a": {"b": Difference(value=0.02, low=0.01, high=0.03), "c": Difference(value=0.01, low=-0.01, high=0.02)},
        "b": {"a": Difference(value=-0.02, low=-0.03, high=-0.01)},
        "c": {"a": Difference(value=-0.01, low=-0.02, high=0.01)},
    }
    rows = {row.heading: row.cells for row in difference_table(differences).rows}
    assert [cell.mark for cell in rows["a"]] == ["", "better", ""]
    assert [cell.text for cell in rows["a"]] == ["\u2013", "+2.0", "+1.0"]
    assert rows["b"][0].mark == "worse"
    assert rows["b"][0].detail == "\u22123.0 to \u22121.0"


@pytest.mark.parametrize(("share", "text"), [(0, "+0.0"), (-0.0001, "+0.0"), (0.1234, "+12.3"), (-0.5, "\u221250.0")])
def test_percentage_points_carry_a_sign(share: float, text: str) -> None:
    assert signed_points(share) == text


def test_observed_false_matches_stand_below_the_rate_they_were_set_for() -> None:
    table = check_table({"affine": {"1e-4": 1.3e-4, "1e-2": 0.0112}, "fc": {"1e-2": 0.009}})
    assert table.columns == ("method", "1e-2", "1e-4")
    assert [[cell.text for cell in row.cells] for row in table.rows] == [["0.011", "0.00013"], ["0.009", "\u2013"]]
