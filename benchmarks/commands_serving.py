"""The commands gateway, overload, footprint and profile: what serving costs."""

from typing import Annotated

import typer

from benchmarks.footprint import footprint_result
from benchmarks.gateway import gateway_result
from benchmarks.gateway_profile import profile_result
from benchmarks.overload import overload_result
from benchmarks.results import publish
from training.progress import view_progress

PROFILE = "gateway-profile"

app = typer.Typer()


@app.command()
def gateway() -> None:
    """Measure the gateway and Triton beside LitServe, a naive server, tritonclient and the model alone."""
    with view_progress(as_json=False) as view:
        publish(gateway_result("python -m benchmarks gateway", view))


@app.command()
def overload() -> None:
    """Send three times what the gateway can do: goodput, refusals, memory, recovery, and fairness among keys."""
    with view_progress(as_json=False) as view:
        publish(overload_result("python -m benchmarks overload", view))


@app.command()
def footprint() -> None:
    """Weigh the gateway before Triton, time its start, and look whether 100,000 requests leave anything behind."""
    with view_progress(as_json=False) as view:
        publish(footprint_result("python -m benchmarks footprint", view))


@app.command()
def profile(
    name: Annotated[str, typer.Option(help="Of the result's file and the flame graph.")] = PROFILE,
) -> None:
    """Sample the gateway under single-feature requests: where each microsecond goes, and a flame graph."""
    with view_progress(as_json=False) as view:
        publish(profile_result(f"python -m benchmarks profile --name {name}", name, view))


SHORT = (footprint, profile, overload, gateway)  # what `make bench` measures of them
