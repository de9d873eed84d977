"""The commands of what serving costs: profile."""

from typing import Annotated

import typer

from benchmarks.gateway_profile import profile_result
from benchmarks.results import publish
from training.progress import view_progress

app = typer.Typer()


@app.command()
def profile(
    name: Annotated[str, typer.Option(help="Of the result's file and the flame graph.")] = "gateway-profile",
) -> None:
    """Sample the gateway under single-feature requests: where each microsecond goes, and a flame graph."""
    with view_progress(as_json=False) as view:
        publish(profile_result(f"python -m benchmarks profile --name {name}", name, view))
