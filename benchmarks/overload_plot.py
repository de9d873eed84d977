"""An overload over time: what was due, answered and refused, how long that took, and the gateway's memory."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes

from benchmarks.load.answers import Answers, Summary
from benchmarks.overload_answers import moments
from training.report.style import PALETTE, new_figure, outside_legend, png, styled

HEIGHT = 6.0  # inches
STEP_S: Final = 1.0
ANSWERED, REFUSED, DUE, MEMORY = *PALETTE[:2], "#6b7280", PALETTE[2]


@dataclass(frozen=True, slots=True)
class Course:
    """One run: half the capacity, the overload from `over_start_s` to `over_end_s`, and half again.

    `phases` sums up each; `memory` is the gateway's, in bytes, by seconds from the run's start.
    """

    what: str
    capacity_per_s: float
    over_start_s: float
    over_end_s: float
    end_s: float
    answers: Answers
    phases: tuple[Summary, ...]
    memory: tuple[tuple[float, int], ...]


def draw_courses(courses: Sequence[Course], file: Path) -> None:
    """Write the picture as PNG: a column a run."""
    with styled():
        figure = new_figure(HEIGHT)
        panels = figure.subplots(3, len(courses), squeeze=False, sharex="col")
        for column, course in enumerate(courses):
            _draw([row[column] for row in panels], course)
        outside_legend(figure, panels[0][0])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(figure))


def _draw(panels: Sequence[Axes], course: Course) -> None:
    rates, latencies, memory = panels
    steps = list(moments(course.answers, course.end_s, STEP_S))
    at = [step.start_s for step in steps]
    rates.step(at, [step.due_per_s for step in steps], where="post", color=DUE, label="sent")
    rates.step(at, [step.refused_per_s for step in steps], where="post", color=REFUSED, label="refused")
    rates.step(at, [step.answered_per_s for step in steps], where="post", color=ANSWERED, label="answered")
    rates.axhline(course.capacity_per_s, color=DUE, linestyle=(0, (1, 1.5)), label="capacity")
    rates.set(title=f"{course.what}: requests a second")
    latencies.plot(at, [step.answered_p99_ms for step in steps], color=ANSWERED)
    latencies.plot(at, [step.refused_p99_ms for step in steps], color=REFUSED)
    latencies.set(title="p99 (ms)", yscale="log")
    memory.plot([at for at, _ in course.memory], [held / 1e6 for _, held in course.memory], color=MEMORY)
    memory.set(title="gateway's memory (MB)", xlabel="seconds", ylim=(0, None), xlim=(0, course.end_s))
    for axes, edge in itertools.product(panels, (course.over_start_s, course.over_end_s)):
        axes.axvline(edge, color="#9ca3af", linewidth=0.8)
