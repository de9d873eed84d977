"""The commands of `r3an`: synthesize, fit, evaluate, bakeoff, report, export; crossvalidate, learning-curve."""

import json
from pathlib import Path
from typing import Annotated

import typer

from contract.manifest import Method
from training.hardware import Hardware, Precision
from training.options import (
    Configs,
    Devices,
    Json,
    Methods,
    Pairs,
    PrecisionOption,
    Seed,
    SharedSeed,
    Source,
    Target,
    names_in,
)
from training.printing import print_bakeoff, print_expectation, print_result, print_sameness
from training.progress import view_progress
from training.report_command import report
from training.study_commands import crossvalidate, learning_curve

EXIT_OTHER_WEIGHTS = 1

app = typer.Typer(
    name="r3an",
    help="Train, prove and export translators between face-feature spaces. Ctrl-C or SIGTERM ends a command with exit "
    "code 130, a training with its checkpoint written: run the same command again to go on.",
    no_args_is_help=True,
)

app.command()(crossvalidate)
app.command("learning-curve")(learning_curve)
app.command()(report)


@app.command()
def synthesize(
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    identities: Annotated[int, typer.Option(min=4, max=1_000_000)] = 1600,
    faces: Annotated[int, typer.Option(min=2, max=1000, help="Faces of each identity.")] = 4,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Paint a world of faces, train two encoders on part of it and write paired features of the rest."""
    from training.synthesize import synthesize as run  # noqa: PLC0415 - torch is loaded when a command needs it

    with view_progress(as_json) as view:
        summary = run(out, identities=identities, faces_per_identity=faces, seed=seed, on_progress=view.stage_progress)
    print_result(summary, as_json)


@app.command()
def fit(
    pairs: Pairs,
    source: Annotated[str | None, typer.Option(help="Feature space to translate from.")] = None,
    target: Annotated[str | None, typer.Option(help="Feature space to translate into.")] = None,
    method: Annotated[Method | None, typer.Option(help="Chosen by cross-validation otherwise.")] = None,
    from_manifest: Annotated[Path | None, typer.Option(help="Make this manifest's training again.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, weights and facts.")] = Path("fit"),
    config: Annotated[Path | None, typer.Option(help="TOML; the method's shipped settings otherwise.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**31 - 1, help="Unless given, the TOML's, or else 0.")] = None,
    devices: Devices = 1,
    precision: PrecisionOption = Precision.FULL,
    as_json: Json = False,
) -> None:
    """Train one translator; run again to go on after an interruption.

    With --method, on 60 % of the identities, and `r3an export --pairs` judges it on the others. Without, the method and
    its settings are chosen by cross-validation, for a few thousand pairs at most and without images: the translator is
    trained on all identities, and what quality to expect of it stands in OUT/expectation.json. With --from-manifest, in
    as many threads as the manifest names; exit code 1 says that the weights are others though nothing else is.
    """
    from training.fit_command import FitRequest, run_fit  # noqa: PLC0415 - as above

    hardware = Hardware(devices, precision)
    request = FitRequest(pairs, out, source, target, method, config, seed, from_manifest, hardware)
    with view_progress(as_json) as view:
        result = run_fit(request, view)
    if changed := result.get("changed_software"):
        typer.echo(f"r3an: weights may differ from the manifest's: {changed}", err=True)
    if not as_json and "expectation" in result:
        print_expectation(result.pop("expectation"))
    print_result(result, as_json)
    if from_manifest is None:
        return
    if not as_json:
        print_sameness(result["same_weights"])
    if result["same_weights"] is False and not changed:
        typer.echo("r3an: not the same weights, though software, threads and CPU are the manifest's", err=True)
        raise typer.Exit(EXIT_OTHER_WEIGHTS)


@app.command()
def export(
    fitted: Annotated[Path, typer.Option("--fit", help="Folder that `r3an fit` wrote.")],
    pairs: Annotated[Path | None, typer.Option(help="Judge on this data's held-out identities first.")] = None,
    repository: Annotated[Path, typer.Option(help="Triton's model repository.")] = Path("model_repository"),
    as_json: Json = False,
) -> None:
    """Publish a fit as the next version of its translator."""
    from training.publish import publish  # noqa: PLC0415 - as above

    with view_progress(as_json):
        version_dir = publish(fitted, pairs, repository)
    print_result(
        {"translator": version_dir.parent.name, "version": int(version_dir.name), "path": str(version_dir)}, as_json
    )


@app.command()
def evaluate(
    translator: Annotated[Path, typer.Option(help="A version's folder: <repository>/<translator>/<version>.")],
    probes: Annotated[Path, typer.Option(help="Parquet with the source column, and the target's for comparison.")],
    gallery: Annotated[Path, typer.Option(help="Parquet with the target column; identity -1 is a distractor.")],
    as_json: Json = False,
) -> None:
    """Judge an exported translator: rank-1, TAR@FAR and FNIR@FPIR with 95 % intervals, as JSON."""
    from training.evaluate import evaluate as run  # noqa: PLC0415 - as above

    with view_progress(as_json):
        result = run(translator, probes, gallery)
    print_result(result, as_json)


@app.command()
def bakeoff(
    pairs: Pairs,
    source: Source,
    target: Target,
    out: Annotated[Path, typer.Option(help="Folder for runs, candidates and the report.")],
    repository: Annotated[
        Path | None, typer.Option(help="Model repository to promote the winner into; OUT/model_repository otherwise.")
    ] = None,
    methods: Methods = "r3an,fc,affine,procrustes",
    config: Configs = None,
    seed: SharedSeed = None,
    devices: Devices = 1,
    precision: PrecisionOption = Precision.FULL,
    as_json: Json = False,
) -> None:
    """Train all methods on the same pairs, judge them on identities nobody trained on, promote the winner."""
    from training.bakeoff import PROMOTED, run_bakeoff  # noqa: PLC0415 - as above
    from training.config import load_configs  # noqa: PLC0415 - as above
    from training.contest import Contest  # noqa: PLC0415 - as above

    contest = Contest(pairs, source, target, load_configs(names_in(methods), config or [], seed=seed))
    with view_progress(as_json) as view:
        promoted, hardware = repository or out / PROMOTED, Hardware(devices, precision)
        outcome = run_bakeoff(contest, out, promoted, view.stage, view.iterations, hardware)
    summary = json.loads(outcome.summary.read_text(encoding="utf-8"))
    places = {"promoted": str(outcome.promoted), "summary": str(outcome.summary), "report": str(outcome.report)}
    if as_json:
        print_result(summary | places, as_json)
        return
    print_bakeoff(summary)
    print_result(places, as_json)
