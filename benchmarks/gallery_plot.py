"""How a gallery's costs grow with its faces: one panel a cost, one line a store, logarithmic axes."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from benchmarks.gallery import Measured
from training.report.style import PALETTE, new_figure, outside_legend, png, styled

PANELS: tuple[tuple[str, Callable[[Measured], float]], ...] = (
    ("search of one probe, p50 (ms)", lambda one: one.search_ms.value),
    ("memory (MB)", lambda one: one.face_bytes * one.faces / 1e6),
    ("written to the store (s)", lambda one: one.faces / one.written_per_s.value),
    ("restart to ready (s)", lambda one: one.restart_s),
)
HEIGHT = 5.4  # inches


def draw_growth(measured: Sequence[Measured], file: Path) -> None:
    """Write the picture as PNG."""
    with styled():
        figure = new_figure(HEIGHT)
        panels = figure.subplots(2, 2)
        for axes, (title, cost) in zip(panels.flat, PANELS, strict=True):
            _draw(axes, title, cost, measured)
        outside_legend(figure, panels.flat[0])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(figure))


def _draw(axes: Axes, title: str, cost: Callable[[Measured], float], measured: Sequence[Measured]) -> None:
    stores = dict.fromkeys(one.store for one in measured)
    for store, colour in zip(stores, PALETTE, strict=False):
        points = sorted((one.faces, cost(one)) for one in measured if one.store is store)
        axes.plot(*zip(*points, strict=True), marker="o", color=colour, label=str(store))
    axes.set(title=title, xlabel="faces in the gallery", xscale="log", yscale="log")
