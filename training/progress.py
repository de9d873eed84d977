"""What a person sees of long work: its stages and bars, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class View:
    """Progress on standard error, so that standard output stays for results."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def stage(self, name: str) -> None:
        """Say what begins."""
        if not self._progress.disable:
            self._progress.console.print(f"[bold]·[/] {name}")

    def stage_progress(self, name: str, done: int, total: int) -> None:
        """Move the bar of a named piece of work."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[name], completed=done, total=total)

    def counter(self, name: str) -> Callable[[int, int], None]:
        """A bar over rows."""
        return lambda done, total: self.stage_progress(name, done, total)

    def iterations(self, name: str) -> Callable[[int, int, dict[str, float]], None]:
        """A bar over iterations of a method."""
        return lambda done, total, _: self.stage_progress(f"training {name}", done, total)


@contextmanager
def view_progress(as_json: bool) -> Iterator[View]:
    """Show progress while the context is open; nothing with `as_json`, or to nobody: a refusal is one line there."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=as_json or not console.is_terminal) as progress:
        yield View(progress)
