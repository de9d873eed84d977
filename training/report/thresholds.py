"""Calibration: the false-match rate at every similarity, as the manifests promise it."""

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from contract.calibration import Calibration
from training.report.material import Material, Picture, Section
from training.report.style import line_style, new_figure, outside_legend, png
from training.report.tables import ABSENT, Cell, Row, Table


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """Similarities and false-match rates, counted and extrapolated; the two parts share the point where they meet."""

    counted: list[tuple[float, float]]
    extrapolated: list[tuple[float, float]]


def section(material: Material) -> Section:
    """One line for each method, and one for native probes."""
    title = "What a similarity is worth"
    text = (
        "The share of different people's pairs that are more similar than this. The gateway turns a similarity into a "
        "false-match rate by these lines. Dashed: too few pairs were counted, the tail is a fit that may err to either "
        "side."
    )
    calibrations = dict(material.run.calibrations)
    if material.run.target_calibration is not None:
        calibrations["target native"] = material.run.target_calibration
    if not calibrations:
        absent = "The run's candidates, whose manifests hold the calibrations, are gone; run the bake-off again."
        return Section("calibration", title, text, absent=absent, command="r3an bakeoff")
    said = "; ".join(f"{name} {_at(calibration):.2f}" for name, calibration in calibrations.items())
    alt = f"False-match rate over similarity. Similarity at one false match in a thousand: {said}."
    lines = {name: calibration_line(calibration) for name, calibration in calibrations.items()}
    observed = material.run.summary.calibration_check
    tables = (check_table(observed),) if observed else ()
    pictures = (Picture("calibration", alt, png(draw(lines))),)
    return Section("calibration", title, text, pictures=pictures, tables=tables)


def check_table(observed: Mapping[str, Mapping[str, float]]) -> Table:
    """What the thresholds for each false-match rate give on other people than those they were measured on."""
    rates = sorted({rate for row in observed.values() for rate in row}, key=lambda rate: -float(rate))
    rows = tuple(
        Row(method, tuple(Cell(f"{row[rate]:.2g}" if rate in row else ABSENT) for rate in rates))
        for method, row in observed.items()
    )
    caption = "False-match rate on other people than those who gave the thresholds, at the threshold for"
    return Table(caption, ("method", *rates), rows)


def _at(calibration: Calibration) -> float:
    return calibration.similarity_at(1e-3)


def calibration_line(calibration: Calibration) -> CalibrationLine:
    """Counted points, and the extrapolated ones from the last counted on."""
    counted = [(p.similarity, p.fmr) for p in calibration.points if not p.extrapolated]
    extrapolated = [(p.similarity, p.fmr) for p in calibration.points if p.extrapolated]
    return CalibrationLine(counted, counted[-1:] + extrapolated if extrapolated else [])


def _axes(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def draw(lines: Mapping[str, CalibrationLine]) -> Figure:
    """Rates on a logarithmic axis."""
    figure = new_figure(3.4)
    axes = figure.add_subplot(xlabel="cosine similarity", ylabel="false-match rate", yscale="log")
    for name, line in lines.items():
        color = line_style(name)["color"]
        axes.plot(*_axes(line.extrapolated), "--o", color=color, markersize=3.5, markerfacecolor="white")
        axes.plot(*_axes(line.counted), "-o", color=color, markersize=3.5, label=name)
    outside_legend(figure, axes)
    return figure
