"""How all figures look: one colour for a method wherever it is drawn, quiet axes, text of one size."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from contract.manifest import Method

DPI = 160
WIDTH = 7.6  # inches
# Okabe and Ito's colours, which the colour-blind can tell apart, two of them darker to be read on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#6A3D9A", "#7A5C3E")
DASHES = ("-", "--")
OTHER_STYLES: dict[str, dict[str, Any]] = {
    "target native": {"color": "#111111", "linestyle": (0, (5, 2))},
    "source native": {"color": "#6b7280", "linestyle": (0, (5, 2, 1, 2))},
    "untranslated": {"color": "#9ca3af", "linestyle": (0, (1, 1.5))},
}
GENUINE, IMPOSTOR = "#0072B2", "#D55E00"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelcolor": "#374151",
    "axes.edgecolor": "#9ca3af",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.7,
    "xtick.color": "#374151",
    "ytick.color": "#374151",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
}


@contextmanager
def styled() -> Iterator[None]:
    """The context in which figures are drawn and saved."""
    with rc_context(STYLE):
        yield


def line_style(name: str) -> dict[str, Any]:
    """Colour and dashes of a method, the same in every figure and every report."""
    if name in OTHER_STYLES:
        return OTHER_STYLES[name]
    methods = [str(method) for method in Method]
    if name not in methods:
        return {"color": "#6b7280", "linestyle": "-"}
    turn, colour = divmod(methods.index(name), len(PALETTE))
    return {"color": PALETTE[colour], "linestyle": DASHES[turn % len(DASHES)]}


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def outside_legend(figure: Figure, axes: Axes) -> None:
    """The legend of one panel for all of them, beside the figure, where it hides no curve."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper")


def png(figure: Figure) -> bytes:
    """The figure as PNG; of one figure always the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
