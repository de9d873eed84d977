"""The page: sections as one self-contained HTML file."""

import base64
from importlib import resources

from jinja2 import Environment, StrictUndefined

from training.report.headline import headline, key_figures
from training.report.material import Section
from training.report.run import Summary

TEMPLATE = "page.html"


def render(summary: Summary, sections: list[Section]) -> str:
    """HTML that needs no other file and no script."""
    template = resources.files("training.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode("ascii")
    said = {"headline": headline(summary), "figures": key_figures(summary)}
    return environment.from_string(template).render(summary=summary, sections=sections, **said)
