"""Curves of rates: their labels can be read whatever the range, and every kind of probe is there."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg

from training.report.rates import draw_det
from training.report.style import styled
from training.report.trials import Curve


def labels(axis: Axis) -> list[tuple[str, float, float]]:
    """Text, and from where to where it reaches along the axis, in pixels."""
    shown = [label for label in axis.get_ticklabels(which="both") if label.get_text()]
    low, high = sorted(axis.get_view_interval())
    boxes = [
        (label.get_text(), label.get_window_extent())
        for label in shown
        if low <= label.get_position()[axis.axis_name == "y"] <= high
    ]
    along = "x" if axis.axis_name == "x" else "y"
    return [(text, getattr(box, f"{along}0"), getattr(box, f"{along}1")) for text, box in boxes]


@pytest.mark.parametrize(
    ("x_range", "y_range"),
    [
        ((0.21, 0.5), (0.31, 0.95)),
        ((0.45, 0.5), (0.93, 0.99)),
        ((0.5, 0.5), (0.6, 0.6)),
        ((0.0051, 0.5), (0.02, 1)),
        ((0.011, 1), (1e-4, 1)),
        ((1e-5, 0.5), (0.09, 1)),
        ((0.0033, 0.5), (0.1, 1)),
        ((3e-4, 0.5), (0.96, 1)),
        ((1e-6, 0.5), (1e-3, 1)),
        ((1e-8, 0.5), (1e-5, 1)),
    ],
)
def test_every_axis_has_labels_that_do_not_lie_on_one_another(
    x_range: tuple[float, float], y_range: tuple[float, float]
) -> None:
    curve = Curve(np.geomspace(*x_range, 20), np.geomspace(*y_range, 20)[::-1])
    with styled():
        figure = draw_det({"fc": curve, "source native": free_of_errors()}, {"fc": curve, "source native": curve})
        FigureCanvasAgg(figure).draw()
        for axes in figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                found = labels(axis)
                assert all(float(text) <= 1 for text, _, _ in found), "no rate is above 1"
                assert len({text for text, _, _ in found}) == len(found) >= 2, found
                for (_, low, high), (_, other_low, other_high) in combinations(found, 2):
                    assert high < other_low or other_high < low, found


def free_of_errors() -> Curve:
    return Curve(np.geomspace(0.01, 0.5, 20), np.zeros(20))


def test_methods_without_errors_are_named_as_such_where_they_have_no_line() -> None:
    some, none = Curve(np.geomspace(0.01, 0.5, 20), np.linspace(0.3, 0.1, 20)), free_of_errors()
    verification = {"fc": some, "residual": none, "affine": none, "target native": some}
    searches = {"fc": some, "residual": none, "affine": some, "target native": none}
    with styled():
        (legend,) = draw_det(verification, searches).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "fc",
        "residual\n(no errors seen)",
        "affine\n(left: no errors seen)",
        "target native\n(right: no errors seen)",
    ]


def test_a_panel_in_which_nobody_errs_says_so_and_keeps_its_range_of_false_matches() -> None:
    with styled():
        figure = draw_det({"fc": free_of_errors()}, {"fc": free_of_errors()})
        FigureCanvasAgg(figure).draw()
        for axes in figure.axes:
            assert [text.get_text() for text in axes.texts] == ["no errors seen"]
            assert labels(axes.yaxis) == []
            low, high = axes.get_xlim()
            assert 0.005 < low < 0.01
            assert 0.5 < high < 1
