"""What the page says first claims no more than the paired intervals do."""

from pathlib import Path

import pytest

from tests.unit.training.report.samples import judgement, make_run, make_summary
from training.report.headline import headline
from training.report.run import Summary
from training.report.write import write_page

AHEAD = {"value": 0.1, "low": 0.05, "high": 0.15, "share": 1.0}
APART = {"value": 0.01, "low": -0.01, "high": 0.03, "share": 0.8}
UNCORRECTED = "Each of these comparisons stands for itself, uncorrected for their number."


def summary(differences: dict[str, dict[str, float]]) -> Summary:
    methods = ("residual", *differences)
    facts = make_summary()["training"]["affine"]
    return Summary.model_validate(
        make_summary(
            training=dict.fromkeys(methods, facts),
            identification=make_summary()["identification"] | {name: judgement(0.9) for name in methods},
            rank_1_difference={"residual": differences},
        )
    )


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ({"fc": AHEAD}, f"is promoted: ahead of fc beyond chance. {UNCORRECTED}"),
        ({"r3an": APART}, f"is promoted: not told apart from r3an. {UNCORRECTED}"),
        (
            {"fc": AHEAD, "r3an": APART, "affine": AHEAD, "arch1": APART},
            f"is promoted: ahead of fc, affine beyond chance; not told apart from r3an, arch1. {UNCORRECTED}",
        ),
        ({}, "is promoted: no other method was judged."),
    ],
)
def test_it_says_of_whom_the_promoted_method_is_ahead_and_of_whom_nobody_knows(
    differences: dict[str, dict[str, float]], said: str
) -> None:
    assert headline(summary(differences)) == said


def test_a_summary_of_before_says_that_it_holds_no_comparison() -> None:
    found = headline(Summary.model_validate(make_summary()))
    assert found == "is promoted; this summary does not say how surely it is ahead of the others."


def test_the_page_begins_with_it_and_gives_intervals(tmp_path: Path) -> None:
    run = make_run(tmp_path, rank_1_difference={"residual": {"affine": APART}})
    write_page(run, None, tmp_path / "page.html")
    header = (tmp_path / "page.html").read_text().partition("<nav")[0]
    assert "<strong>residual</strong> is promoted: not told apart from affine." in header
    assert "most often" not in header
    assert "0.9000" in header
    assert "0.880 to 0.920" in header
    assert "0.930 to 0.970" in header, "of the target encoder"
