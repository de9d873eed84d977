"""The commands of `r3an` that study methods and publish nothing: crossvalidate, learning-curve."""

from pathlib import Path
from typing import Annotated

import typer

from training.errors import ConfigError
from training.options import Configs, Json, Methods, Pairs, SharedSeed, Source, Target, names_in
from training.printing import print_identification, print_learning_curve, print_result
from training.progress import view_progress


def crossvalidate(
    pairs: Pairs,
    source: Source,
    target: Target,
    out: Annotated[Path, typer.Option(help="Folder for the folds' trainings and crossvalidation.json.")],
    methods: Methods = "residual,kernel-ridge,affine,procrustes",
    folds: Annotated[int, typer.Option(min=2, max=100, help="Each holds out its share of the identities.")] = 5,
    config: Configs = None,
    seed: SharedSeed = None,
    as_json: Json = False,
) -> None:
    """Hold each identity out once, judge all methods on all people; run again to go on after an interruption."""
    from training.config import load_configs  # noqa: PLC0415 - torch is loaded when a command needs it
    from training.contest import Contest  # noqa: PLC0415 - as above
    from training.crossvalidation import CROSSVALIDATION_FILE, cross_validate  # noqa: PLC0415 - as above

    contest = Contest(pairs, source, target, load_configs(names_in(methods), config or [], seed=seed))
    with view_progress(as_json) as view:
        summary = cross_validate(
            contest, out, folds=folds, seed=contest.seed, on_stage=view.stage, on_method=view.iterations
        )
    place = {"summary": str(out / CROSSVALIDATION_FILE)}
    if as_json:
        print_result(summary | place, as_json)
        return
    title = f"{source} → {target}, {folds} folds, {summary['probes']} probes of {summary['probe_subjects']} subjects"
    print_identification(title, summary["identification"], diverged=summary["diverged"])
    print_result(place, as_json)


def learning_curve(  # noqa: PLR0913, PLR0917 - options of a command
    pairs: Pairs,
    source: Source,
    target: Target,
    out: Annotated[Path, typer.Option(help="Folder for the trainings and learning_curve.json.")],
    methods: Methods = "residual,kernel-ridge,affine,procrustes",
    rows: Annotated[str, typer.Option(help="Comma-separated numbers of training rows; all are added.")] = (
        "500,1000,2000,4000"
    ),
    kinds: Annotated[
        str, typer.Option(help="Comma-separated: clean, gaussian, half-missing, darker-faces, other-domain.")
    ] = "clean",
    other_domain: Annotated[Path | None, typer.Option(help="Paired features of other people: other-domain.")] = None,
    config: Configs = None,
    seed: SharedSeed = None,
    as_json: Json = False,
) -> None:
    """Train all methods on ever more pairs, clean or worse, and judge them on the same people; resumable."""
    from training.config import load_configs  # noqa: PLC0415 - as above
    from training.contest import Contest  # noqa: PLC0415 - as above
    from training.learning_curve import LEARNING_CURVE_FILE, Curve, draw_learning_curve  # noqa: PLC0415 - as above
    from training.training_sets import Kind  # noqa: PLC0415 - as above

    unknown = [name for name in names_in(kinds) if name not in list(Kind)]
    if unknown:
        raise ConfigError(f"no kind of pairs {unknown[0]!r}; there are {', '.join(Kind)}")
    contest = Contest(pairs, source, target, load_configs(names_in(methods), config or [], seed=seed))
    curve = Curve(_numbers_in(rows), tuple(Kind(name) for name in names_in(kinds)), other_domain, contest.seed)
    with view_progress(as_json) as view:
        summary = draw_learning_curve(contest, curve, out, view.stage, view.iterations)
    place = {"summary": str(out / LEARNING_CURVE_FILE)}
    if as_json:
        print_result(summary | place, as_json)
        return
    print_learning_curve(f"{source} → {target}, {summary['probes']} probes", summary["points"], summary["diverged"])
    print_result(place, as_json)


def _numbers_in(text: str) -> tuple[int, ...]:
    wrong = [name for name in names_in(text) if not name.isdecimal()]
    if wrong:
        raise ConfigError(f"--rows: {wrong[0]!r} is no number of rows")
    return tuple(int(name) for name in names_in(text))
