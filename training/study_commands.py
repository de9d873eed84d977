"""The commands of `r3an` that study methods and publish nothing: crossvalidate."""

from pathlib import Path
from typing import Annotated

import typer

from training.options import Configs, Json, Methods, Pairs, Seed, Source, Target, names_in
from training.printing import print_identification, print_result
from training.progress import view_progress


def crossvalidate(
    pairs: Pairs,
    source: Source,
    target: Target,
    out: Annotated[Path, typer.Option(help="Folder for the folds' trainings and crossvalidation.json.")],
    methods: Methods = "residual,kernel-ridge,affine,procrustes",
    folds: Annotated[int, typer.Option(min=2, max=100, help="Each holds out its share of the identities.")] = 5,
    config: Configs = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Hold each identity out once, judge all methods on all people; run again to go on after an interruption."""
    from training.config import load_configs  # noqa: PLC0415 - torch is loaded when a command needs it
    from training.contest import Contest  # noqa: PLC0415 - as above
    from training.crossvalidation import CROSSVALIDATION_FILE, cross_validate  # noqa: PLC0415 - as above

    contest = Contest(pairs, source, target, load_configs(names_in(methods), config or [], seed=seed))
    with view_progress(as_json) as view:
        summary = cross_validate(contest, out, folds=folds, seed=seed, on_stage=view.stage, on_method=view.iterations)
    place = {"summary": str(out / CROSSVALIDATION_FILE)}
    if as_json:
        print_result(summary | place, as_json)
        return
    title = f"{source} → {target}, {folds} folds, {summary['probes']} probes of {summary['probe_subjects']} subjects"
    print_identification(title, summary["identification"])
    print_result(place, as_json)
