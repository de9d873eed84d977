"""The bake-off as one self-contained HTML file: a table with intervals and the CMC curves."""

import base64
import io
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

REPORT_DPI = 110


def write_report(summary: dict[str, Any], file: Path) -> None:
    """Write the report of a bake-off's summary; atomically, so that a reader never sees half of it."""
    template = resources.files("training").joinpath("report.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["rate"] = _rate
    html = environment.from_string(template).render(**summary, cmc_png=_png(_cmc_figure(summary)))
    staged = file.with_name(f".{file.name}")
    staged.write_text(html, encoding="utf-8")
    staged.replace(file)


def _rate(interval: dict[str, float] | None) -> str:
    if interval is None:
        return "-"
    return f"{interval['value']:.4f} [{interval['low']:.4f}, {interval['high']:.4f}]"


def _cmc_figure(summary: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot(
        xlabel="rank", ylabel="share of probes identified", title="Cumulative match characteristic"
    )
    for name, curve in summary["cmc"].items():
        style = "k--" if name == "target native" else "-"
        axes.plot(range(1, len(curve) + 1), curve, style, label=name)
    axes.set_xscale("log")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=REPORT_DPI)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
