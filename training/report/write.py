"""Put the report together and write it: one HTML file, and its figures beside it where a person asked for them."""

from pathlib import Path

from training.report import (
    abstention,
    crossvalidation,
    learning,
    losses,
    overview,
    paintings,
    plane,
    rates,
    scores,
    thresholds,
)
from training.report.material import Evidence, Material, Section
from training.report.page import render
from training.report.run import Run
from training.report.style import styled
from training.report.trials import all_trials
from training.run_folder import REPORT_FILE
from training.workspace import write_atomically

# The names of all figures there are: of those, what lies in a report's folder is the report's own.
FIGURES = (
    "overview",
    "cmc",
    "det",
    "scores",
    "plane",
    "paintings",
    "calibration",
    "abstention",
    "learning",
    "losses",
)


def make_sections(material: Material) -> list[Section]:
    """Every section, in the order of the page; what cannot be drawn says why."""
    trials = all_trials(material.evidence) if material.evidence is not None else {}
    with styled():
        return [
            overview.section(material),
            overview.differences_section(material),
            overview.gallery_section(material),
            rates.cmc_section(material),
            rates.det_section(material, trials),
            scores.section(material, trials),
            plane.section(material),
            paintings.section(material),
            thresholds.section(material),
            abstention.section(material),
            learning.section(material),
            crossvalidation.section(material),
            losses.section(material),
        ]


def write_page(run: Run, evidence: Evidence | None, file: Path) -> None:
    """Write the HTML file alone."""
    sections = make_sections(Material(run, evidence))
    write_atomically(file, render(run.summary, sections))


def write_report(run: Run, evidence: Evidence | None, out: Path) -> list[Path]:
    """Write the HTML file and each figure as PNG; returns the files, the page first.

    Everything is drawn before anything is written, and each file appears whole. A figure that a former report in the
    folder had and this one has not is removed: it may show faces, and is not of what the page shows.
    """
    sections = make_sections(Material(run, evidence))
    files = {out / REPORT_FILE: render(run.summary, sections).encode()}
    files |= {out / f"{picture.name}.png": picture.png for section in sections for picture in section.pictures}
    for file, content in files.items():
        write_atomically(file, content)
    for former in {out / f"{name}.png" for name in FIGURES} - files.keys():
        former.unlink(missing_ok=True)
    return list(files)
