"""`python -m benchmarks`: the short measurements, then the page. Long ones by name."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import commands_galleries, commands_serving
from benchmarks.curves import curves_result
from benchmarks.directions import directions_result, judge_directions
from benchmarks.engines import engines_result
from benchmarks.few_pairs import few_pairs_result, try_few_pairs
from benchmarks.int8 import int8_result
from benchmarks.quality import quality_result
from benchmarks.results import PAGE, publish, render, write
from benchmarks.tables import study, tables_result
from benchmarks.training import Material, paint_material, training_result
from benchmarks.translate import translate_result
from training.bakeoff import PROMOTED, run_bakeoff
from training.config import load_configs
from training.contest import Contest
from training.errors import ConfigError
from training.learning_curve import Curve, draw_learning_curve
from training.options import Configs, Methods, Pairs, Source, Target, names_in
from training.progress import view_progress
from training.training_sets import Kind

Name = Annotated[str, typer.Option(help="Of the result's file.")]
Out = Annotated[Path, typer.Option(help="Folder of the trainings; finished and interrupted ones are taken up.")]

app = typer.Typer(help="Measure, and write docs/results and docs/benchmarks.md.")
app.add_typer(commands_galleries.app)
app.add_typer(commands_serving.app)


@app.callback(invoke_without_command=True)
def short(context: typer.Context) -> None:
    """Run the short measurements, those of speed, within half an hour, and render the page."""
    if context.invoked_subcommand is None:
        write(translate_result("make bench"))
        write(engines_result("make bench"))
        for measure in commands_serving.SHORT:
            measure()
        page()


@app.command("render")
def page() -> None:
    """Make docs/benchmarks.md from docs/results/."""
    PAGE.write_text(render(), encoding="utf-8")


@app.command()
def engines() -> None:
    """Time every method by each runtime in process, beside ResNet-101."""
    publish(engines_result("python -m benchmarks engines"))


@app.command()
def int8(
    pairs: Pairs,
    fitted: Annotated[Path, typer.Option(help="Folder of a finished fit of r3an to those pairs.")],
    name: Name = "translate-int8",
) -> None:
    """Quantise a trained R³AN, judge it on held-out identities and time it beside float32."""
    command = f"python -m benchmarks int8 --pairs {pairs.name} --fitted DIR --name {name}"
    publish(int8_result(name, command, fitted, pairs))


@app.command()
def quality(
    pairs: Pairs,
    source: Source,
    target: Target,
    out: Out,
    name: Name = "quality",
    methods: Methods = "r3an,fc,affine,procrustes",
    config: Configs = None,
) -> None:
    """Run the bake-off and keep its figures."""
    contest = Contest(pairs, source, target, load_configs(names_in(methods), config or [], seed=0))
    with view_progress(as_json=False) as view:
        outcome = run_bakeoff(contest, out, out / PROMOTED, view.stage, view.iterations)
    options = {"source": source, "target": target, "name": name, "methods": methods}
    publish(quality_result(name, _command("quality", pairs, options, config), outcome))


@app.command()
def directions(
    pairs: Pairs,
    out: Out,
    name: Name = "quality-directions",
    methods: Methods = "residual,kernel-ridge,affine,procrustes",
    seeds: Annotated[str, typer.Option(help="Comma-separated.")] = "0",
    workers: Annotated[int, typer.Option(min=1, max=256, help="Bake-offs at a time, a core each.")] = 1,
) -> None:
    """Run a bake-off for every ordered pair of the data's encoders and keep the figures."""
    with view_progress(as_json=False) as view:
        numbers = [int(seed) for seed in names_in(seeds)]
        summaries = judge_directions(pairs, names_in(methods), numbers, out, workers, view.counter("bake-offs"))
    options = {"name": name, "methods": methods, "seeds": seeds}
    publish(directions_result(name, _command("directions", pairs, options), summaries))


@app.command()
def tables(pairs: Pairs, source: Source, target: Target, out: Out) -> None:
    """Train the paper's architectures on one budget, and on another domain; keep its Tables 3, 4 and 6."""
    with view_progress(as_json=False) as view:
        studies = study(pairs, source, target, out, view.stage, view.iterations)
    publish(tables_result(_command("tables", pairs, {"source": source, "target": target}), studies))


@app.command()
def curves(
    pairs: Pairs,
    source: Source,
    target: Target,
    out: Out,
    name: Name = "quality-curves",
    methods: Methods = "residual,kernel-ridge,affine,fc",
    rows: Annotated[str, typer.Option(help="Comma-separated.")] = "500,1000,2000,4000",
    kinds: Annotated[str, typer.Option(help="Comma-separated.")] = "clean,gaussian,half-missing",
    config: Configs = None,
) -> None:
    """Draw learning curves and keep their points."""
    contest = Contest(pairs, source, target, load_configs(names_in(methods), config or [], seed=0))
    numbers = tuple(int(number) for number in names_in(rows))
    curve = Curve(numbers, tuple(Kind(kind) for kind in names_in(kinds)), other_domain=None, seed=0)
    with view_progress(as_json=False) as view:
        summary = draw_learning_curve(contest, curve, out, view.stage, view.iterations)
    options = {"source": source, "target": target, "name": name, "methods": methods, "rows": rows, "kinds": kinds}
    publish(curves_result(name, _command("curves", pairs, options, config), summary))


@app.command()
def few_pairs(pairs: Pairs, source: Source, target: Target, out: Out, name: Name = "quality-few-pairs") -> None:
    """Let fits of 500, 1,000 and 2,000 pairs choose their method; an empty folder, or the seconds mean nothing."""
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out}: is not empty")
    with view_progress(as_json=False) as view:
        view.stage("fitting and judging")
        trials = try_few_pairs(pairs, source, target, out)
    options = {"source": source, "target": target, "name": name}
    publish(few_pairs_result(name, _command("few-pairs", pairs, options), trials))


@app.command("training")
def side_by_side(
    pairs: Annotated[Path | None, typer.Option(help="With images; painted otherwise.")] = None,
    source: Annotated[str, typer.Option(help="Feature space of PAIRS.")] = "",
    target: Annotated[str, typer.Option(help="Feature space of PAIRS.")] = "",
) -> None:
    """Time training beside a plain Algorithm 1, compare what both learn, and watch memory over a longer file."""
    options = f" --pairs {pairs.name} --source {source} --target {target}" if pairs else ""
    with tempfile.TemporaryDirectory() as folder, view_progress(as_json=False) as view:
        given = Material(pairs, source, target) if pairs else paint_material(Path(folder), view.stage_progress)
        result = training_result(f"python -m benchmarks training{options}", given, view.stage)
    publish(result)


def _command(name: str, pairs: Path, options: dict[str, str], configs: list[Path] | None = None) -> str:
    """The command that was run; the places of data and folders are the reader's own."""
    arguments = [f"--{option} {value}" for option, value in options.items()]
    arguments += [f"--config {file}" for file in configs or []]
    return f"python -m benchmarks {name} --pairs {pairs.name} {' '.join(arguments)} --out DIR"


if __name__ == "__main__":
    sys.exit(app())
