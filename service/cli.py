"""`r3an-gateway`: serve, manage API keys, move whole galleries, print the OpenAPI document."""

from pathlib import Path
from typing import Annotated

import orjson
import typer
from pydantic import ValidationError

from contract.spaces import NAME_PATTERN
from service.access import Access, KeyRecord, KeysFile, KeysFileError, Scope, create_key, read_keys, write_keys
from service.commands.gallery import gallery_cli
from service.commands.migration import migration_cli
from service.commands.offline import translate_parquet
from service.commands.terminal import refuse
from service.settings import Environment, Settings

KeysPath = Annotated[Path, typer.Option("--file", help="The API keys file.", envvar="R3AN_API_KEYS_FILE")]
KeyId = Annotated[str, typer.Option("--id", help="Name of the key, such as the client that holds it.")]

cli = typer.Typer(help="The R3AN gateway. Settings come from R3AN_* variables.", no_args_is_help=True)
keys_cli = typer.Typer(
    help="API keys. A running gateway sees changes within R3AN_RELOAD_INTERVAL_S.", no_args_is_help=True
)
cli.add_typer(keys_cli, name="keys")
cli.add_typer(gallery_cli, name="gallery")
cli.add_typer(migration_cli, name="migration")
cli.command("translate-parquet")(translate_parquet)


@cli.command()
def serve() -> None:
    """Serve until SIGTERM or SIGINT; accepted requests finish."""
    from service.commands.serving import gateway_server  # noqa: PLC0415 - half a second that no client needs
    from service.commands.workers import serve_with_workers  # noqa: PLC0415 - as above

    try:
        settings = Settings()
        if settings.workers > 1:
            Access(settings.api_keys_file)  # refused here rather than by every worker
            serve_with_workers(settings)
            return
        server = gateway_server(settings)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = f"R3AN_{str(first['loc'][0]).upper()}: " if first["loc"] else ""
        refuse(name + first["msg"].removeprefix("Value error, "))
    except KeysFileError as error:
        refuse(str(error))
    server.run()  # exits with 3 when the port or the repository cannot be used


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document of this version."""
    from service.app import create_app  # noqa: PLC0415 - as above

    schema = create_app(Settings(environment=Environment.DEVELOPMENT, api_keys_file=None)).openapi()
    typer.echo(orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode())


@keys_cli.command("create")
def keys_create(
    id: KeyId,
    file: KeysPath,
    scope: Annotated[list[Scope], typer.Option(help="What the key may do; repeat for more.")],
    requests_per_second: Annotated[float | None, typer.Option(min=0.001, max=100_000, help="Quota.")] = None,
) -> None:
    """Create a key and print it, once: only its hash is kept."""
    keys = _read(file) if file.exists() else KeysFile()
    if any(record.id == id for record in keys.keys):
        refuse(f"{id} exists; revoke it first")
    try:
        key, record = create_key(id, scope, requests_per_second)
    except ValidationError:
        refuse(f"--id must match {NAME_PATTERN}")
    _write(file, (*keys.keys, record))
    typer.echo(key)


@keys_cli.command("list")
def keys_list(file: KeysPath) -> None:
    """List the keys: id, scopes, quota."""
    for record in _read(file).keys:
        quota = "-" if record.requests_per_second is None else f"{record.requests_per_second:g}/s"
        typer.echo(f"{record.id}\t{','.join(record.scopes)}\t{quota}")


@keys_cli.command("revoke")
def keys_revoke(id: KeyId, file: KeysPath) -> None:
    """Revoke a key."""
    keys = _read(file).keys
    left = tuple(record for record in keys if record.id != id)
    if len(left) == len(keys):
        refuse(f"no key {id}")
    _write(file, left)


def main() -> None:
    """Console script."""
    cli()


def _read(file: Path) -> KeysFile:
    try:
        return read_keys(file)
    except KeysFileError as error:
        refuse(str(error))


def _write(file: Path, records: tuple[KeyRecord, ...]) -> None:
    try:
        write_keys(KeysFile(keys=records), file)
    except OSError as error:
        refuse(f"{file.name}: {error.strerror}")


if __name__ == "__main__":
    main()
