"""`python -m benchmarks`: the short measurements, then the page. Long ones by name."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.directions import directions_result, judge_directions
from benchmarks.quality import quality_result
from benchmarks.results import PAGE, render, write
from benchmarks.translate import translate_result
from training.bakeoff import PROMOTED, run_bakeoff
from training.config import load_configs
from training.contest import Contest
from training.progress import view_progress

app = typer.Typer(help="Measure, and write docs/results and docs/benchmarks.md.")


@app.callback(invoke_without_command=True)
def short(context: typer.Context) -> None:
    """Run the short measurements and render the page."""
    if context.invoked_subcommand is None:
        write(translate_result("make bench"))
        page()


@app.command("render")
def page() -> None:
    """Make docs/benchmarks.md from docs/results/."""
    PAGE.write_text(render(), encoding="utf-8")


@app.command()
def quality(
    pairs: Annotated[Path, typer.Option()],
    source: Annotated[str, typer.Option()],
    target: Annotated[str, typer.Option()],
    out: Annotated[Path, typer.Option(help="The bake-off's folder; finished and interrupted trainings are taken up.")],
    name: Annotated[str, typer.Option()] = "quality",
    methods: Annotated[str, typer.Option()] = "r3an,fc,affine,procrustes",
) -> None:
    """Run the bake-off with the shipped settings and keep its figures."""
    contest = Contest(pairs, source, target, load_configs(methods.split(","), [], seed=0))
    with view_progress(as_json=False) as view:
        outcome = run_bakeoff(contest, out, out / PROMOTED, view.stage, view.iterations)
    # The data's place is the reader's own; the command is otherwise the one that was run.
    arguments = [
        f"--pairs {pairs.name}",
        f"--source {source}",
        f"--target {target}",
        f"--name {name}",
        f"--methods {methods}",
    ]
    write(quality_result(name, f"python -m benchmarks quality {' '.join(arguments)} --out DIR", outcome))
    page()


@app.command()
def directions(
    pairs: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option(help="Folder of bake-offs; finished and interrupted trainings are taken up.")],
    name: Annotated[str, typer.Option()] = "quality-directions",
    methods: Annotated[str, typer.Option()] = "residual,kernel-ridge,affine,procrustes",
) -> None:
    """Run a bake-off for every ordered pair of the data's encoders and keep the figures."""
    with view_progress(as_json=False) as view:
        summaries = judge_directions(pairs, methods.split(","), out, view.stage, view.iterations("a direction"))
    arguments = f"--pairs {pairs.name} --name {name} --methods {methods}"
    write(directions_result(name, f"python -m benchmarks directions {arguments} --out DIR", summaries))
    page()


if __name__ == "__main__":
    sys.exit(app())
