"""`r3an-gateway translate-parquet`: a migration without a gateway."""

import os
from pathlib import Path
from typing import Annotated

import typer

from service.bulk.defaults import PART_ROWS
from service.commands.terminal import bar, command


def translate_parquet(
    source_path: Annotated[Path, typer.Argument(metavar="IN", help="A Parquet file, a folder of them, or an export.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder, or that of an interrupted translation.")],
    source: Annotated[str, typer.Option(help="Feature space of the input.")],
    target: Annotated[str, typer.Option(help="Feature space of the output.")],
    model_repository: Annotated[Path, typer.Option(help="Folder of translators.", envvar="R3AN_MODEL_REPOSITORY")],
    workers: Annotated[int, typer.Option(min=0, max=1024, help="Processes; 0: one for each core.")] = 0,
    feature_column: Annotated[
        str | None, typer.Option(help="Column to translate; found by its name otherwise.")
    ] = None,
    target_column: Annotated[str | None, typer.Option(help="Column that takes its place.")] = None,
    part_rows: Annotated[int, typer.Option(min=1, max=4_194_304, help="Faces in an output file.")] = PART_ROWS,
) -> None:
    """Translate the features of a gallery that lives elsewhere. Interrupted, it goes on with the same command."""
    with command() as stopped:
        from service.bulk.offline import Job, translate_folder  # noqa: PLC0415 - pyarrow is an extra

        job = Job(source_path, out, source, target, model_repository, feature_column, target_column, part_rows)
        with bar("translated") as move:
            moved = translate_folder(job, workers or len(os.sched_getaffinity(0)), move, stopped.is_set)
        before = f", {moved.native} were before" if moved.native else ""
        typer.echo(f"{moved.translated} faces of {source} are in {target} now{before}: {out}")
