"""Start a load generator, or another program that prints such a report, and read what it prints."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import IO, Final

from benchmarks.load.pacing import DRAIN_S_MAX
from benchmarks.load.plan import Plan, plan_to_json, seconds_of
from benchmarks.load.report import Report, report_from_json

GENERATOR: Final = "benchmarks.load"
START_S_MAX: Final = 60.0
ERROR_CHARS: Final = 4000


class LoadError(Exception):
    """A generator that ended without a report, or not in time; carries the end of what it wrote."""


class RunningLoad:
    """A generator that is under way."""

    def __init__(self, process: "subprocess.Popen[str]", output: IO[str], errors: IO[str], seconds_max: float) -> None:
        self._process = process
        self._output = output
        self._errors = errors
        self._seconds_max = seconds_max

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def report(self) -> Report:
        """Wait for its end. Raises LoadError."""
        try:
            code = self._process.wait(self._seconds_max)
        except subprocess.TimeoutExpired as error:
            raise LoadError(f"the generator has not ended after {self._seconds_max:g} s") from error
        if code:
            raise LoadError(f"the generator ended with {code}:\n{_text(self._errors)[-ERROR_CHARS:]}")
        return report_from_json(_text(self._output))


def run_load(plan: Plan) -> Report:
    """Send as planned, and wait. Raises LoadError."""
    with start_load(plan) as load:
        return load.report()


@contextmanager
def start_load(plan: Plan) -> Iterator[RunningLoad]:
    """Send as planned while the context is open."""
    with start_program(GENERATOR, plan_to_json(plan), seconds_of(plan.pace)) as load:
        yield load


@contextmanager
def start_program(
    module: str, plan: str, seconds: float, environment: Mapping[str, str] | None = None
) -> Iterator[RunningLoad]:
    """Run a module with its plan on stdin; it measures for so many seconds. Killed if it still runs at the end."""
    with ExitStack() as stack:
        # Files, since a pipe holds 64 KiB and nobody reads it before the end.
        given, output, errors = (stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(3))
        given.write(plan)
        given.seek(0)
        command = [sys.executable, "-m", module]
        process = stack.enter_context(
            subprocess.Popen(command, stdin=given, stdout=output, stderr=errors, text=True, env=environment)  # noqa: S603 - our own modules
        )
        stack.callback(process.kill)  # does nothing to one that has ended
        yield RunningLoad(process, output, errors, START_S_MAX + seconds + DRAIN_S_MAX)


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
