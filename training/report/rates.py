"""Curves of rates: cumulative match characteristic and detection error trade-off."""

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from training.report.material import REPORT_COMMAND, Material, Picture, Section
from training.report.style import line_style, new_figure, outside_legend, png
from training.report.trials import Curve, Trials, search_errors, verification_errors

NO_ERRORS = "no errors seen"
LABEL_WIDTH, LABEL_HEIGHT = 0.18, 0.1  # of a panel, with the room around it
LABELS_MIN = 3
LADDERS = (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2))  # steps of every so many powers of ten
CMC_TITLE = "Among the first few"
DET_TITLE = "False matches against misses"


def cmc_section(material: Material) -> Section:
    """The share of probes whose subject is among the first 1 … 50."""
    curves = material.run.summary.cmc
    said = "; ".join(
        f"{name} {curve[0]:.3f} at rank 1, {curve[-1]:.3f} at {len(curve)}" for name, curve in curves.items()
    )
    return Section(
        id="cmc",
        title=CMC_TITLE,
        text="The share of probes whose own subject is among the first few of the gallery (cumulative match "
        "characteristic). Higher is better.",
        pictures=(Picture("cmc", f"Cumulative match characteristic: {said}.", png(draw_cmc(curves))),),
    )


def det_section(material: Material, trials: Mapping[str, Trials]) -> Section:
    """Verification and open-set search: both errors at every threshold."""
    text = (
        "Each point is a threshold. Left: one face against one, false non-match rate over false match rate. Right: one "
        "face against the whole gallery, misses (FNIR) over false alarms (FPIR). Lower is better; the curves begin "
        "where ten errors were counted."
    )
    if not trials:
        absent = "These curves need the features of the held-out faces."
        return Section("det", DET_TITLE, text, absent=absent, command=REPORT_COMMAND.format(folder=material.run.folder))
    verification = {name: verification_errors(t) for name, t in trials.items()}
    searches = {name: search_errors(t.comparison) for name, t in trials.items()}
    alt = "Detection error trade-off. Misses at the fewest false alarms drawn: " + "; ".join(
        f"{name} {curve.y[0]:.3f}" for name, curve in searches.items()
    )
    return Section("det", DET_TITLE, text, pictures=(Picture("det", f"{alt}.", png(draw_det(verification, searches))),))


def draw_cmc(curves: Mapping[str, list[float]]) -> Figure:
    """Share over rank, the rank on a logarithmic axis."""
    figure = new_figure(3.4)
    axes = figure.add_subplot(xlabel="rank", ylabel="share of probes identified")
    for name, curve in curves.items():
        axes.plot(range(1, len(curve) + 1), curve, label=name, **line_style(name))
    axes.set_xscale("log")
    axes.set_xlim(1, max(len(curve) for curve in curves.values()))
    _plain_ranks(axes)
    outside_legend(figure, axes)
    return figure


def _plain_ranks(axes: Axes) -> None:
    last = int(axes.get_xlim()[1])
    ticks = [rank for rank in (1, 2, 5, 10, 20, 50) if rank <= last]
    axes.set_xticks(ticks, [str(rank) for rank in ticks])
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_locator(MaxNLocator(6))


def draw_det(verification: Mapping[str, Curve], searches: Mapping[str, Curve]) -> Figure:
    """Both trade-offs side by side, all axes logarithmic; both are of the same methods."""
    figure = new_figure(3.6)
    left, right = figure.subplots(1, 2)
    for axes, curves in ((left, verification), (right, searches)):
        for name, curve in curves.items():
            seen = curve.y > 0  # no miss has no place on a logarithmic axis
            label = name + _without_line(verification[name], searches[name])
            axes.plot(curve.x[seen], curve.y[seen], label=label, **line_style(name))
        axes.set_xscale("log")
        if any(_errs(curve) for curve in curves.values()):
            axes.set_yscale("log")
            axes.set_ylim(top=1.05)
            _label_rates(axes.yaxis, LABEL_HEIGHT)
        else:
            _say_no_errors(axes, curves)
        _label_rates(axes.xaxis, LABEL_WIDTH)
    left.set(title="one against one", xlabel="FMR", ylabel="FNMR")
    right.set(title="one against the gallery", xlabel="FPIR", ylabel="FNIR")
    outside_legend(figure, left)
    return figure


def _errs(curve: Curve) -> bool:
    return bool((curve.y > 0).any())


def _without_line(verification: Curve, search: Curve) -> str:
    """What the legend says of a method that lacks a line, which it would otherwise seem to have lost."""
    match _errs(verification), _errs(search):
        case False, False:
            return f"\n({NO_ERRORS})"
        case False, True:
            return f"\n(left: {NO_ERRORS})"
        case True, False:
            return f"\n(right: {NO_ERRORS})"
    return ""


def _say_no_errors(axes: Axes, curves: Mapping[str, Curve]) -> None:
    matches = np.concatenate([curve.x for curve in curves.values()])
    axes.set_xlim(matches.min() / 1.2, matches.max() * 1.2)
    axes.set_yticks([])
    axes.text(0.5, 0.5, NO_ERRORS, transform=axes.transAxes, ha="center", va="center")


def _label_rates(axis: Axis, label_share: float) -> None:
    axis.set_major_locator(FixedLocator(label_places(*axis.get_view_interval(), label_share)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def label_places(low: float, high: float, label_share: float) -> list[float]:
    """Where a logarithmic axis of rates, none above 1, is labelled, if a label takes such a share of the axis.

    At 1, 2 and 5 of each power of ten, or more sparsely where they would touch; evenly where it is too short for that.
    """
    high = min(high, 1.0)
    ladders = [_ladder(steps, every, low, high) for steps, every in LADDERS]
    if len(ladders[0]) < LABELS_MIN:
        return _within(list(MaxNLocator(4).tick_values(low, high)), low, high)
    apart = label_share * math.log10(high / low)
    fitting = (places for places in ladders if all(math.log10(b / a) >= apart for a, b in pairwise(places)))
    return next(fitting, ladders[-1])


def _ladder(steps: tuple[int, ...], every: int, low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low) / every) * every, math.ceil(math.log10(high))
    exponents = range(first, last + 1, every)
    return _within([step * 10.0**exponent for exponent in exponents for step in steps], low, high)


def _within(places: list[float], low: float, high: float) -> list[float]:
    return [place for place in places if low <= place <= high]
