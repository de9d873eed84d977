"""Abstention: what is gained when the probes least like the training faces are sent away."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from contract.manifest import Interval
from training.report.material import Material, Picture, Section
from training.report.run import Abstention
from training.report.style import line_style, new_figure, outside_legend, png
from training.report.tables import Cell, Row, Table, rate_cell


def section(material: Material) -> Section:
    """Rank-1 over the share of probes that are kept, and how well confidence tells strange probes from others."""
    title = "Knowing when not to answer"
    text = (
        "Rank-1 of the probes that are kept when those with the lowest confidence are sent away. A line that rises to "
        "the left says that confidence knows which answers are wrong. The band is the promoted method's 95 % interval."
    )
    summary = material.run.summary
    if not summary.abstention and not summary.auroc:
        absent = "This bake-off's summary holds no abstention curves; run it again to have them."
        return Section("abstention", title, text, absent=absent, command="r3an bakeoff")
    curves = summary.abstention
    pictures = (Picture("abstention", _alt(curves), png(draw(curves, summary.winner))),) if curves else ()
    tables = (auroc_table(summary.auroc),) if summary.auroc else ()
    return Section("abstention", title, text, pictures=pictures, tables=tables)


def _alt(curves: Mapping[str, Abstention]) -> str:
    said = (f"{name} {_first(curve)}" for name, curve in curves.items())
    return f"Rank-1 over the share of probes kept. {'; '.join(said)}."


def _first(curve: Abstention) -> str:
    points = sorted(zip(curve.kept, curve.rank_1, strict=False))
    return f"{points[-1][1]:.3f} with {points[-1][0]:.0%} kept, {points[0][1]:.3f} with {points[0][0]:.0%}"


def auroc_table(auroc: Mapping[str, Interval | float]) -> Table:
    """How well confidence separates probes of each strange kind from held-out faces."""
    rows = tuple(Row(kind, (_auroc_cell(value),)) for kind, value in auroc.items())
    return Table("Strange probes told from held-out faces by their confidence", ("kind of probe", "AUROC"), rows)


def _auroc_cell(value: Interval | float) -> Cell:
    return rate_cell(value) if isinstance(value, Interval) else Cell(f"{value:.4f}")


def draw(curves: Mapping[str, Abstention], promoted: str) -> Figure:
    """One line for each method, and a band for the promoted one: bands of all would hide each other."""
    figure = new_figure(3.2)
    axes = figure.add_subplot(xlabel="share of probes kept", ylabel="rank-1 of those kept")
    for name, curve in curves.items():
        style = line_style(name)
        axes.plot(curve.kept, curve.rank_1, label=name, **style)
        if name == promoted and curve.low and curve.high:
            axes.fill_between(curve.kept, curve.low, curve.high, color=style["color"], alpha=0.1, linewidth=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    outside_legend(figure, axes)
    return figure
