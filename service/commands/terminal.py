"""What the groups of commands share: one line for every refusal, exit codes, a bar, and a way to stop."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from service.bulk.errors import BulkError, StoppedError

if TYPE_CHECKING:
    from service.bulk.client import Gateway

EXIT_REFUSED_ROWS = 1
EXIT_BAD_INPUT = 2
EXIT_STOPPED = 130  # as a shell says it of Ctrl-C
KEY_BYTES_MAX = 4096
KEY_VARIABLE = "R3AN_API_KEY"
EXTRAS = {"httpx": "bulk", "pyarrow": "bulk"}  # module -> what brings it

Gallery = Annotated[str, typer.Argument(help="Name of the gallery.")]
Url = Annotated[str, typer.Option(help="The gateway.", envvar="R3AN_URL")]
KeyFile = Annotated[
    Path | None, typer.Option(help=f"File that holds an API key; without it the variable {KEY_VARIABLE} is looked at.")
]
DEFAULT_URL = "http://127.0.0.1:8080"


def refuse(reason: str, code: int = EXIT_BAD_INPUT) -> NoReturn:
    """End the command with one line."""
    typer.echo(f"r3an-gateway: {reason}", err=True)
    raise typer.Exit(code)


@contextmanager
def command() -> Iterator[threading.Event]:
    """Around the work of a command: what it refuses becomes one line. Yields what is set by Ctrl-C or SIGTERM.

    A second one ends the work where it is.
    """
    stopped = threading.Event()
    try:
        with _signals(stopped):
            yield stopped
    except StoppedError as error:
        refuse(str(error), EXIT_STOPPED)
    except KeyboardInterrupt:
        refuse("interrupted", EXIT_STOPPED)
    except BulkError as error:
        refuse(str(error))
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        refuse(f"{error.name} is missing: pip install 'r3an[{EXTRAS[error.name]}]'")
    except OSError as error:
        refuse(f"{error.filename}: {error.strerror}")


def connect(url: str, key_file: Path | None, stopped: threading.Event, connections: int = 1) -> "Gateway":
    """A gateway, with the key that the file or the variable holds. Raises BulkError, OSError."""
    from service.bulk.client import Gateway  # noqa: PLC0415 - httpx is an extra

    key = os.environ.get(KEY_VARIABLE, "")
    if key_file is not None:
        with key_file.open("rb") as file:
            key = file.read(KEY_BYTES_MAX).decode("ascii", errors="replace")
    return Gateway(url, key.strip() or None, connections=connections, stopped=stopped)


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error; yields what moves it: done, total."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def _signals(stopped: threading.Event) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may take signals
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
