"""What the page says first claims no more than the paired intervals do."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.report.samples import judgement, make_run, make_summary
from training.report.headline import bias_of_choice, headline
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


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ({"fc": AHEAD, "r3an": APART}, "the largest of 3 measured alike"),
        ({"fc": AHEAD, "r3an": APART}, "Here the widest reaches 2.0 points to either side."),
        ({"fc": AHEAD}, "Here every other method is behind beyond chance, so that the choice adds next to nothing."),
    ],
)
def test_beside_the_table_it_says_how_far_the_choice_may_flatter_the_winner(
    differences: dict[str, dict[str, float]], said: str
) -> None:
    (note,) = bias_of_choice(summary(differences))
    assert said in note
    assert "chosen and judged on the same held-out people" in note


def test_nobody_was_chosen_where_there_was_one_method_only() -> None:
    assert bias_of_choice(summary({})) == ()


@pytest.mark.parametrize(("methods", "half_widths"), [(2, 0.2), (8, 0.51), (200, 1.0)])
def test_the_largest_of_equally_good_methods_is_too_high_by_the_share_of_a_paired_interval_that_is_said(
    methods: int, half_widths: float
) -> None:
    """Errors that all methods share, and errors of their own: only these decide who is the largest."""
    generator = np.random.default_rng(0)
    shared, own = generator.standard_normal((4000, 1)), 0.3 * generator.standard_normal((4000, methods))
    bias = (shared + own).max(axis=1).mean() - shared.mean()
    paired_half_width = 1.96 * 0.3 * np.sqrt(2)
    assert bias / paired_half_width == pytest.approx(half_widths, abs=0.03)


def test_the_note_stands_beside_the_table(tmp_path: Path) -> None:
    write_page(make_run(tmp_path, rank_1_difference={"residual": {"affine": APART}}), None, tmp_path / "page.html")
    section = (tmp_path / "page.html").read_text().partition('<section id="judgement"')[2].partition("</section>")[0]
    assert "chosen and judged on the same held-out people" in section
