"""Start a load generator, or another program that prints such a report, and read what it prints."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.load.pacing import DRAIN_S_MAX
from benchmarks.load.plan import Plan, plan_to_json, seconds_of
from benchmarks.load.report import Report, report_from_json

GENERATOR = "benchmarks.load"
START_S_MAX = 60.0


class LoadError(Exception):
    """A generator that ended without a report, or not in time; carries the end of what it wrote."""


class RunningLoad:
    """A generator that is under way."""

    def __init__(self, process: "subprocess.Popen[str]", seconds_max: float) -> None:
        self._process = process
        self._seconds_max = seconds_max

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def report(self) -> Report:
        """Wait for its end. Raises LoadError."""
        try:
            output, errors = self._process.communicate(timeout=self._seconds_max)
        except subprocess.TimeoutExpired as error:
            raise LoadError(f"the generator has not ended after {self._seconds_max:g} s") from error
        if self._process.returncode:
            raise LoadError(f"the generator ended with {self._process.returncode}:\n{errors[-4000:]}")
        return report_from_json(output)


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
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stdin:  # and no pipe: nobody would wait for its reader
        stdin.write(plan)
        stdin.seek(0)
        with subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", module],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            try:
                yield RunningLoad(process, START_S_MAX + seconds + DRAIN_S_MAX)
            finally:
                process.kill()  # does nothing to one that has ended
