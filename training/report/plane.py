"""Fig. 5: ten subjects' features in the plane, in source, translated and target space."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from contract.vectors import Features
from training.comparison import Rows
from training.report.material import REPORT_COMMAND, Evidence, Material, Picture, Section
from training.report.style import new_figure, png
from training.report.subjects import faces_of_most_photographed

SUBJECTS = 10
FACES_MAX = 40  # of one subject; hundreds would hide the others
MARGIN = 0.06  # of the range, around the points


@dataclass(frozen=True, slots=True)
class Plane:
    """Two principal components of unit-length features."""

    mean: NDArray[np.float64]  # [d]
    directions: NDArray[np.float64]  # [d, 2]

    def project(self, features: Features) -> NDArray[np.float64]:
        """Features [n, d] to points [n, 2]."""
        return np.asarray((features - self.mean) @ self.directions)


def fit_plane(features: Features) -> Plane:
    """Principal components of features [n, d]; signs are fixed, so that the same features give the same picture."""
    mean = features.mean(axis=0, dtype=np.float64)
    _, _, rows = np.linalg.svd(features - mean, full_matrices=False)
    directions = rows[:2].T  # [d, 2]
    largest = np.abs(directions).argmax(axis=0)
    return Plane(mean, directions * np.where(directions[largest, [0, 1]] < 0, -1.0, 1.0))


def plane_points(evidence: Evidence, methods: tuple[str, ...]) -> tuple[dict[str, NDArray[np.float64]], Rows]:
    """Points [n, 2] of each panel and the subject of each: the source in its own plane, the rest in the target's."""
    stage = evidence.stage
    rows, subjects = faces_of_most_photographed(stage.probe_identities, SUBJECTS, FACES_MAX)
    if len(rows) < 2:
        return {}, subjects
    target = fit_plane(stage.target_probes[rows])
    panels = {"source": fit_plane(stage.source_probes[rows]).project(stage.source_probes[rows])}
    for method in methods:
        panels[f"translated, {method}"] = target.project(evidence.translated[method][rows])
    return panels | {"target": target.project(stage.target_probes[rows])}, subjects


def section(material: Material) -> Section:
    """The paper's Fig. 5."""
    title = "Ten people in three spaces"
    text = (
        "Each dot is a face, each colour one of the ten held-out people with most faces, seen along the two directions "
        "in which their features vary most. Translated and target share their plane: a colour should lie in the same "
        "place in both. The source has a plane of its own."
    )
    if material.evidence is None:
        absent, command = "This figure needs the held-out features.", REPORT_COMMAND.format(folder=material.run.folder)
        return Section("plane", title, text, absent=absent, command=command)
    panels, subjects = plane_points(material.evidence, material.shown)
    if not panels:
        return Section("plane", title, text, absent="Nobody among the held-out identities has two probes.")
    number = int(subjects.max()) + 1
    alt = f"Features of {number} subjects in the plane, one colour each. Panels: {', '.join(panels)}."
    return Section("plane", title, text, pictures=(Picture("plane", alt, png(draw(panels, subjects))),))


def draw(panels: Mapping[str, NDArray[np.float64]], subjects: Rows) -> Figure:
    """Panels side by side; all but the source on the same axes."""
    columns = len(panels) if len(panels) <= 3 else 2
    rows = -(-len(panels) // columns)
    figure = new_figure(0.35 + rows * 7.2 / columns)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    shared = np.concatenate([points for name, points in panels.items() if name != "source"])
    colours = colormaps["tab10"](subjects)
    for axes, (name, points) in zip(grid, panels.items(), strict=False):
        axes.scatter(*points.T, c=colours, s=14, alpha=0.75, linewidths=0)
        axes.set(title=name, xticks=[], yticks=[], box_aspect=1)
        low, high = _frame(points if name == "source" else shared)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        for side in axes.spines.values():
            side.set_visible(True)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    return figure


def _frame(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = points.min(axis=0), points.max(axis=0)
    margin = MARGIN * np.maximum(high - low, 1e-6)
    return low - margin, high + margin
