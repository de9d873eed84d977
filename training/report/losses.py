"""Training curves: the losses over the iterations."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from training.fit import FACTS_FILE
from training.report.material import Material, Picture, Section
from training.report.run import LossHistory, Run
from training.report.style import PALETTE, new_figure, png
from training.run_folder import RUNS

PANELS_A_ROW = 2
PANEL_HEIGHT = 2.3  # inches
SMOOTHED_SHARE = 50  # a line is drawn through means of a fiftieth of the points; the points themselves stay faint

DECADE = 10.0

Series = tuple[NDArray[np.float64], NDArray[np.float64]]  # iterations [n] and losses [n]


def section(material: Material) -> Section:
    """The losses of every iterative method, of those that did not converge too."""
    title = "How training went"
    text = "Losses over the iterations: faint as recorded, the line a running mean."
    run = material.run
    notes = tuple(_left_out(run, name) for name in run.lost_histories)
    series = {_heading(run, name): loss_series(history) for name, history in run.histories.items()}
    if not series:
        absent = "No training of this run kept its losses: closed forms have none, and older runs did not keep them."
        return Section("losses", title, text, absent=absent, command="r3an bakeoff --methods residual", notes=notes)
    said = "; ".join(
        f"{method}, {name}: from {values[0]:.3g} to {values[-1]:.3g}"
        for method, lines in series.items()
        for name, (_, values) in lines.items()
    )
    pictures = (Picture("losses", f"Losses. {said}.", png(draw(series))),)
    return Section("losses", title, text, pictures=pictures, notes=notes)


def _heading(run: Run, method: str) -> str:
    return f"{method}, not converged" if method in run.summary.diverged else method


def _left_out(run: Run, method: str) -> str:
    why = f"The curve of {method} is left out: {run.lost_histories[method]}."
    if method in run.summary.diverged:
        return f"{why} Run the bake-off again: it tries this training again and writes its losses anew."
    facts = run.folder / RUNS / method / FACTS_FILE
    return (
        f"{why} Delete {facts} and run the bake-off again: it takes the losses from the checkpoint beside it, without "
        "training again."
    )


def loss_series(history: LossHistory) -> dict[str, Series]:
    """Iterations and values of each loss, in the order in which they first occur."""
    names = dict.fromkeys(name for point in history.points for name in point.losses)
    series: dict[str, Series] = {}
    for name in names:
        points = [(point.iteration, point.losses[name]) for point in history.points if name in point.losses]
        iterations, values = np.asarray(points, np.float64).T
        series[name] = iterations, values
    return series


def running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean [n] over a window that shrinks towards both ends, so that it begins and ends with the values [n]."""
    half = len(values) // SMOOTHED_SHARE // 2
    total = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    reach = np.minimum(half, np.minimum(at, at[::-1]))
    return np.asarray((total[at + reach + 1] - total[at - reach]) / (2 * reach + 1))


def spans_decades(values: list[NDArray[np.float64]]) -> bool:
    """Whether positive losses lie so far apart that a logarithmic axis serves them better."""
    lowest, highest = min(v.min() for v in values), max(v.max() for v in values)
    return bool(lowest > 0 and highest / lowest > DECADE)


def draw(series: Mapping[str, Mapping[str, Series]]) -> Figure:
    """A panel for each method with axes of its own: their losses do not compare."""
    columns = min(PANELS_A_ROW, len(series))
    rows = -(-len(series) // columns)
    figure = new_figure(0.3 + PANEL_HEIGHT * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (method, lines) in zip(grid, series.items(), strict=False):
        for colour, (name, (iterations, values)) in zip(_colours(len(lines)), lines.items(), strict=True):
            axes.plot(iterations, values, color=colour, alpha=0.25, linewidth=0.8)
            axes.plot(iterations, running_mean(values), color=colour, label=name)
        if spans_decades([values for _, values in lines.values()]):
            axes.set_yscale("log")
        axes.set(title=method, xlabel="iteration")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5)) if len(lines) > 1 else axes.set_ylabel(
            next(iter(lines))
        )
    for axes in grid[len(series) :]:
        axes.set_visible(False)
    return figure


def _colours(number: int) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(number)]
