"""How throughput and tail grow with the rows of a request and with the requests at once; the knee is named."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from benchmarks.knee import Point, knee_of
from training.report.style import PALETTE, new_figure, outside_legend, png, styled

HEIGHT = 5.4  # inches
OURS = "gateway"


@dataclass(frozen=True, slots=True)
class Growth:
    """One kind of load: the points of each contestant. The gateway's alone has a knee drawn."""

    load: str
    points: Mapping[str, Sequence[Point]]

    @property
    def knee(self) -> Point:
        """The gateway's."""
        (ours,) = (points for name, points in self.points.items() if name.startswith(OURS))
        return knee_of(ours)


def draw_growths(growths: Sequence[Growth], file: Path) -> None:
    """Write the picture as PNG: a row of panels a kind of load, throughput and p99 beside each other."""
    names = dict.fromkeys(_short(name) for growth in growths for name in growth.points)
    colours = dict(zip(names, PALETTE, strict=False))
    with styled():
        figure = new_figure(HEIGHT)
        panels = figure.subplots(len(growths), 2, squeeze=False)
        for (throughput, tail), growth in zip(panels, growths, strict=True):
            _draw(throughput, growth, "features a second", lambda point: point.features_per_s, colours)
            _draw(tail, growth, "p99 (ms)", lambda point: point.p99_ms, colours)
        outside_legend(figure, panels[-1][0])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(figure))


def _draw(axes: Axes, growth: Growth, title: str, value: Callable[[Point], float], colours: Mapping[str, str]) -> None:
    for name, points in growth.points.items():
        short = _short(name)
        loads, values = [point.load for point in points], [value(point) for point in points]
        axes.plot(loads, values, marker="o", markersize=3, color=colours[short], label=short)
    knee = growth.knee.load
    axes.axvline(knee, color="#6b7280", linestyle=(0, (1, 1.5)))
    place: dict[str, Any] = {
        "xycoords": ("data", "axes fraction"),
        "xytext": (3, 3),
        "textcoords": "offset points",
        "fontsize": 8,
    }
    axes.annotate(f"knee: {knee}", (knee, 0), **place)
    axes.set(title=title, xlabel=growth.load, xscale="log", yscale="log")


def _short(name: str) -> str:
    """A contestant without its kind of body, which the axis names."""
    return name.partition(",")[0]
