"""`r3an-gateway migration`: the same requests as over HTTP, for people."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.bulk.errors import StoppedError
from service.commands.migration_view import print_migration, print_migrations, print_plan
from service.commands.terminal import DEFAULT_URL, Gallery, KeyFile, Url, bar, command, connect, refuse

if TYPE_CHECKING:
    from service.bulk.client import Gateway

EXIT_FAILED = 1
UNDER_WAY = ("beginning", "backfilling")

migration_cli = typer.Typer(
    help="Move a gallery of a running gateway to another feature space. Needs a key of scope admin.",
    no_args_is_help=True,
)

TargetModel = Annotated[str, typer.Argument(help="Feature space it is to be in.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the migration.")]

Ask = Callable[["Gateway"], dict[str, Any]]
View = Callable[[dict[str, Any]], None]


@migration_cli.command("plan")
def plan(gallery: Gallery, target_model: TargetModel, url: Url = DEFAULT_URL, key_file: KeyFile = None) -> None:
    """Say what a migration would need and bring; nothing is begun."""
    body = {"target_model": target_model, "plan_only": True}
    _show(url, key_file, lambda gateway: gateway.post("galleries", gallery, "migrations", body=body), print_plan)


@migration_cli.command("start")
def start(gallery: Gallery, target_model: TargetModel, url: Url = DEFAULT_URL, key_file: KeyFile = None) -> None:
    """Begin a migration; searches go on in the space of before."""
    body = {"target_model": target_model}
    _show(url, key_file, lambda gateway: gateway.post("galleries", gallery, "migrations", body=body), print_migration)


@migration_cli.command("list")
def list_all(url: Url = DEFAULT_URL, key_file: KeyFile = None) -> None:
    """All migrations, newest first."""
    _show(url, key_file, lambda gateway: gateway.get("migrations"), print_migrations)


@migration_cli.command("show")
def show(migration: Id, url: Url = DEFAULT_URL, key_file: KeyFile = None) -> None:
    """One migration: plan, progress, and how searches differ between the copies."""
    _show(url, key_file, lambda gateway: gateway.get("migrations", migration), print_migration)


@migration_cli.command("watch")
def watch(
    migration: Id,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    interval_s: Annotated[float, typer.Option(min=0.05, max=3600, help="Between two looks.")] = 1.0,
) -> None:
    """Show progress until the new copy is complete. Exit code 1: the migration failed or was cancelled."""
    with command() as stopped:
        with connect(url, key_file, stopped) as gateway, bar("faces") as move:
            found = _watch(gateway, migration, interval_s, stopped, move)
        print_migration(found)
        if found["state"] in {"failed", "cancelled"}:
            refuse(f"{migration} {found['state']}: {found['reason'] or 'on request'}", EXIT_FAILED)


def _watch(
    gateway: "Gateway", migration: str, interval_s: float, stopped: threading.Event, move: Callable[[int, int], None]
) -> dict[str, Any]:
    while True:
        found = gateway.get("migrations", migration, patient=True)
        if progress := found["progress"]:
            move(progress["filled"], progress["faces"])
        if found["state"] not in UNDER_WAY:
            return found
        if stopped.wait(interval_s):
            raise StoppedError


@migration_cli.command("rollback")
def roll_back(
    migration: Id,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Even if faces are missing in the old copy: searches miss them then."),
    ] = False,
) -> None:
    """Serve the old copy again; the new one stays."""
    body = {"allow_missing": allow_missing}
    _show(url, key_file, lambda gateway: gateway.post("migrations", migration, "rollback", body=body), print_migration)


def _show(url: str, key_file: Path | None, ask: Ask, view: View) -> None:
    with command() as stopped, connect(url, key_file, stopped) as gateway:
        view(ask(gateway))


def _change(name: str, what: str) -> None:
    """Add the command that POSTs to /migrations/{id}/<name>."""

    @migration_cli.command(name, help=what)
    def change(migration: Id, url: Url = DEFAULT_URL, key_file: KeyFile = None) -> None:
        _show(url, key_file, lambda gateway: gateway.post("migrations", migration, name), print_migration)


for _name, _what in (
    ("cutover", "Serve the new copy, in one step."),
    ("complete", "Drop the old copy: from here on there is no way back."),
    ("cancel", "Drop the new copy, before it serves."),
    ("resume", "Go on after a failure, once what failed it is mended."),
):
    _change(_name, _what)
