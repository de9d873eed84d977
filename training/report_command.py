"""The command `r3an report`."""

from pathlib import Path
from typing import Annotated

import typer

from training.options import Json, Pairs
from training.printing import print_result
from training.progress import view_progress


def report(
    run: Annotated[Path, typer.Option(help="Folder that `r3an bakeoff` wrote.")],
    pairs: Pairs,
    learning_curve: Annotated[Path | None, typer.Option(help="learning_curve.json of the same direction.")] = None,
    crossvalidation: Annotated[Path | None, typer.Option(help="crossvalidation.json of the same direction.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html and the figures; RUN/report otherwise.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a bake-off: one HTML page that needs no other file, and its figures as PNG. It may show faces."""
    from training.report.evidence import gather  # noqa: PLC0415 - torch is loaded when a command needs it
    from training.report.run import read_run  # noqa: PLC0415 - as above
    from training.report.write import write_report  # noqa: PLC0415 - as above
    from training.workspace import workspace  # noqa: PLC0415 - as above

    finished = read_run(run, learning_curve=learning_curve, crossvalidation=crossvalidation)
    folder = out or run / "report"
    with view_progress(as_json) as view, workspace(folder) as copy:
        evidence = gather(finished, pairs, copy, view.counter("reading pairs"))
        view.stage("drawing")
        page, *figures = write_report(finished, evidence, folder)
    print_result({"report": str(page), "figures": [str(figure) for figure in figures]}, as_json)
