"""Learning curves: quality over the number of pairs."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from training.report.material import Material, Picture, Section
from training.report.run import LearningCurve, LearningPoint
from training.report.style import line_style, new_figure, png

PANELS_A_ROW = 2
PANEL_HEIGHT = 2.6  # inches

Lines = dict[str, dict[str, list[LearningPoint]]]  # kind -> method -> points by rows


def section(material: Material) -> Section:
    """Rank-1 over rows, one panel for each kind of pairs."""
    title = "With fewer pairs"
    text = "Rank-1 on the same held-out identities after training on part of the pairs. The band is the 95 % interval."
    curve = material.run.learning_curve
    if curve is None or not curve.points:
        absent = "No learning curve was given to this report with --learning-curve."
        command = "r3an learning-curve"
        return Section("learning", title, text, absent=absent, command=command)
    lines = learning_lines(curve)
    said = "; ".join(
        f"{kind}, {method}: {points[0].rank_1.value:.3f} with {points[0].rows:,} rows, "
        f"{points[-1].rank_1.value:.3f} with {points[-1].rows:,}"
        for kind, methods in lines.items()
        for method, points in methods.items()
    )
    pictures = (Picture("learning", f"Learning curves. {said}.", png(draw(lines))),)
    notes = (f"{d.method} has no point at {d.rows:,} {d.kind} rows: {d.reason}." for d in curve.diverged)
    return Section("learning", title, text, pictures=pictures, notes=tuple(notes))


def learning_lines(curve: LearningCurve) -> Lines:
    """Points by kind and method, in the order in which these first occur, rows rising."""
    lines: Lines = {}
    for point in sorted(curve.points, key=lambda point: point.rows):
        lines.setdefault(point.kind, {}).setdefault(point.method, []).append(point)
    kinds = dict.fromkeys(point.kind for point in curve.points)
    methods = dict.fromkeys(point.method for point in curve.points)
    return {kind: {m: lines[kind][m] for m in methods if m in lines[kind]} for kind in kinds}


def draw(lines: Lines) -> Figure:
    """Panels on common axes."""
    columns = min(PANELS_A_ROW, len(lines))
    rows = -(-len(lines) // columns)
    figure = new_figure(0.7 + PANEL_HEIGHT * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    drawn: dict[str, Line2D] = {}
    for axes, (kind, methods) in zip(grid, lines.items(), strict=False):
        for method, points in methods.items():
            numbers = [point.rows for point in points]
            rates = [point.rank_1 for point in points]
            style = line_style(method)
            (drawn[method],) = axes.plot(
                numbers, [r.value for r in rates], marker="o", markersize=3.5, label=method, **style
            )
            axes.fill_between(
                numbers, [r.low for r in rates], [r.high for r in rates], color=style["color"], alpha=0.12
            )
        axes.set_title(kind)
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    numbers = sorted({point.rows for methods in lines.values() for points in methods.values() for point in points})
    grid[0].set_xticks(numbers, minor=False)
    grid[0].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    for axes in grid:
        axes.tick_params(axis="x", rotation=30)
    for axes in grid[len(lines) :]:
        axes.set_visible(False)
    figure.supxlabel("pairs trained on", fontsize=9)
    figure.supylabel("rank-1", fontsize=9)
    figure.legend(list(drawn.values()), list(drawn), loc="outside right upper")
    return figure
