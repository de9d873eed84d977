"""How similar the same and different people look, before translation, after it, and natively."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.report.material import REPORT_COMMAND, Material, Picture, Section
from training.report.style import GENUINE, IMPOSTOR, new_figure, png
from training.report.trials import BINS, Counts, Trials

DRAWN_BINS = 100  # of similarity -1 … 1
PANEL_HEIGHT = 1.15  # inches
EDGES = np.linspace(-1, 1, DRAWN_BINS + 1)


def section(material: Material, trials: Mapping[str, Trials]) -> Section:
    """Distributions of similarity, one panel above the other."""
    title = "Same person, different people"
    text = (
        "Cosine similarity of pairs that show one person (blue) and two (orange). Untranslated, the two lie on one "
        "another; the less they overlap, the better."
    )
    if not trials:
        absent = "Distributions need the features of the held-out faces."
        command = REPORT_COMMAND.format(folder=material.run.folder)
        return Section("scores", title, text, absent=absent, command=command)
    shown = {name: trials[name] for name in ("untranslated", *material.shown, "target native")}
    said = "; ".join(f"{name} {mean(t.genuine):.2f} and {mean(t.impostor):.2f}" for name, t in shown.items())
    alt = f"Distributions of similarity. Mean of one person's pairs and of two people's: {said}."
    return Section("scores", title, text, pictures=(Picture("scores", alt, png(draw(shown))),))


def density(counts: Counts) -> NDArray[np.float64]:
    """Histogram [BINS] to a density [100] over similarity that integrates to 1."""
    coarse = counts.reshape(DRAWN_BINS, BINS // DRAWN_BINS).sum(axis=1)
    return np.asarray(coarse / max(int(coarse.sum()), 1) * (DRAWN_BINS / 2))


def mean(counts: Counts) -> float:
    """Mean similarity of a histogram [BINS]."""
    centres = (np.arange(BINS) + 0.5) * (2 / BINS) - 1
    return float((counts * centres).sum() / max(int(counts.sum()), 1))


def draw(shown: Mapping[str, Trials]) -> Figure:
    """One panel for each kind of probe, on one axis of similarity."""
    figure = new_figure(0.5 + PANEL_HEIGHT * len(shown))
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    densities = {name: (density(t.genuine), density(t.impostor)) for name, t in shown.items()}
    for axes, (name, (genuine, impostor)) in zip(panels, densities.items(), strict=True):
        for values, colour, label in ((impostor, IMPOSTOR, "two people"), (genuine, GENUINE, "one person")):
            axes.stairs(values, EDGES, fill=True, color=colour, alpha=0.35)
            axes.stairs(values, EDGES, color=colour, linewidth=1.2, label=label)
        axes.set_title(name)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    seen = EDGES[:-1][np.any([g + i > 1e-3 for g, i in densities.values()], axis=0)]
    panels[0].set_xlim(seen.min() - 0.02, min(seen.max() + 0.04, 1))
    panels[0].legend(loc="upper right")
    panels[-1].set_xlabel("cosine similarity")
    return figure
