"""`r3an-gateway gallery`: export and import."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.bulk.defaults import BATCH_ROWS, IN_FLIGHT, REFUSED_MAX
from service.commands.terminal import DEFAULT_URL, EXIT_REFUSED_ROWS, Gallery, KeyFile, Url, bar, command, connect

if TYPE_CHECKING:
    from service.bulk.import_progress import Counts

gallery_cli = typer.Typer(
    help="Whole galleries of a running gateway, as Parquet. What is interrupted goes on with the same command.",
    no_args_is_help=True,
)

Column = Annotated[str | None, typer.Option(help="Its column; found by its usual name otherwise.")]


@gallery_cli.command("export")
def export_command(
    gallery: Gallery,
    folder: Annotated[Path, typer.Argument(help="A new folder, or that of an interrupted export.")],
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Write all faces with their original features. Needs a key of scope admin and search."""
    with command() as stopped:
        from service.bulk.exporting import Target, export_gallery  # noqa: PLC0415 - pyarrow is an extra

        with connect(url, key_file, stopped) as gateway, bar("exported") as move:
            export = export_gallery(gateway, Target(gallery, folder), move)
        table = Table("feature space", "dimension", "faces", "parts")
        for space, exported in export.spaces.items():
            table.add_row(space, str(exported.dim), f"{exported.faces:,}", str(len(exported.parts)))
        Console().print(table)
        typer.echo(f"sha256 {export.sha256}")


@gallery_cli.command("import")
def import_command(
    gallery: Gallery,
    path: Annotated[Path, typer.Argument(help="A Parquet file, a folder of them, or an export.")],
    source_model: Annotated[str | None, typer.Option(help="Feature space; needed unless an export says it.")] = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    face_id_column: Column = None,
    subject_column: Column = None,
    feature_column: Column = None,
    report: Annotated[Path | None, typer.Option(help="A .csv or .parquet file for the fate of each row.")] = None,
    state: Annotated[Path | None, typer.Option(help="Where progress is kept; beside the report otherwise.")] = None,
    batch_rows: Annotated[int, typer.Option(min=1, max=65_536, help="Faces in a request, at most.")] = BATCH_ROWS,
    in_flight: Annotated[int, typer.Option(min=1, max=64, help="Requests at once.")] = IN_FLIGHT,
    refused_max: Annotated[int, typer.Option(min=0, help="Refused rows after which the import stops.")] = REFUSED_MAX,
) -> None:
    """Enrol or replace faces. Needs a key of scope enrol and search. Exit code 1: some rows were refused."""
    with command() as stopped:
        from service.bulk.column_names import ColumnNames  # noqa: PLC0415
        from service.bulk.importing import Import, import_gallery  # noqa: PLC0415 - pyarrow is an extra

        job = Import(
            gallery=gallery,
            source=path,
            state=state or (Path(f"{gallery}.import.json") if report is None else Path(f"{report}.state.json")),
            space=source_model,
            columns=ColumnNames(face_id_column, subject_column, feature_column),
            report=report,
            batch_rows=batch_rows,
            in_flight=in_flight,
            refused_max=refused_max,
        )
        started = time.monotonic()
        with connect(url, key_file, stopped, in_flight) as gateway, bar("imported") as move:
            counts = import_gallery(gateway, job, move)
        _print_counts(counts, time.monotonic() - started)
        if counts.refused:
            raise typer.Exit(EXIT_REFUSED_ROWS)


def _print_counts(counts: "Counts", elapsed_s: float) -> None:
    table = Table("rows", "new", "replaced", "refused", "seconds")
    table.add_row(
        *(f"{n:,}" for n in (counts.rows, counts.new, counts.replaced, counts.refused.total())), f"{elapsed_s:.1f}"
    )
    Console().print(table)
    for code, rows in sorted(counts.refused.items()):
        typer.echo(f"refused: {code}: {rows} rows")
