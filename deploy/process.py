"""One program: started with its log, waited for, and ended by its own process id, never by name."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
OWN_OUTPUT = Path("/dev/stdout")  # as a log: the program writes where its starter writes
POLL_S = 0.05
WATCH_S = 0.5
READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
LOG_TAIL_CHARS = 8000
HTTP_TIMEOUT_S = 60.0

# Runs as the child before its program: ends the program when its starter dies, however that happens. A program of its
# own and not a preexec_fn, since Python code between fork and exec may deadlock beside gRPC's threads.
GUARD = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit("the starter has ended")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class ProcessError(Exception):
    """A server that did not start or did not become ready; carries the end of its log."""


class Process:
    """A program under supervision. Start it from a thread that outlives it: the kernel ends it with that thread.

    It runs in a session of its own, so that Ctrl-C in a terminal reaches the starter alone, which stops its programs
    in the right order.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self.command = command
        self._environment = environment
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running program. Raises ProcessError if it is not running."""
        if not self.running or self._child is None:
            raise ProcessError(f"{self.name} is not running")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the program has been started and has not ended."""
        return self._child is not None and self._child.returncode is None and not has_ended(self._child.pid)

    def start(self, is_ready: Callable[[], bool], timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start the program and return when `is_ready()` holds. Output is appended to the log.

        Raises:
            ProcessError: it ended, or was not ready in time and has been killed.
        """
        if self.running:
            raise ProcessError(f"{self.name} is running already")
        guard = [sys.executable, "-I", "-S", "-c", GUARD, str(os.getpid())]
        with ExitStack() as stack:
            log = None if self.log == OWN_OUTPUT else stack.enter_context(self.log.open("ab"))
            self._child = subprocess.Popen(  # noqa: S603 - the command is made of our own constants and paths
                [*guard, *self.command],
                env=None if self._environment is None else dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(lambda: not self.running or is_ready(), timeout_s, f"{self.name} to be ready")
        except TimeoutError as error:
            self.kill()
            raise ProcessError(f"{error}; its log ends:\n{self.log_tail()}") from error
        except BaseException:
            self.kill()
            raise
        if not self.running:
            raise ProcessError(f"{self.name} ended with {self.kill()}; its log ends:\n{self.log_tail()}")

    def stop(self, stop_signal: signal.Signals = signal.SIGTERM, timeout_s: float = STOP_TIMEOUT_S) -> int | None:
        """Ask the program to end and wait; after the time-out kill it. Idempotent. Returns its exit code."""
        if self.running:
            os.kill(self.pid, stop_signal)
            with suppress(TimeoutError):
                wait_until(lambda: not self.running, timeout_s, f"{self.name} to end")
        return self.kill()

    def kill(self) -> int | None:
        """End the program at once, as a crash would, and whatever it has started. Idempotent. Returns its exit code."""
        if self._child is None:
            return None
        if self._child.returncode is None:
            # Nobody has waited for it yet, so the id of its process group cannot belong to anybody else.
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait(STOP_TIMEOUT_S)
        return self._child.returncode

    def log_tail(self) -> str:
        """The last part of the log."""
        if self.log == OWN_OUTPUT:
            return "(above)"
        return self.log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL_CHARS:]


def has_ended(child_pid: int) -> bool:
    """Whether a child has ended, without waiting for it: its process id stays ours."""
    return os.waitid(os.P_PID, child_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def scratch_folder(owner: object, name: str) -> Path:
    """A new temporary folder that goes with `owner`, at the latest when Python ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"r3an-{name}-"))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll until the condition holds. Raises TimeoutError naming what was awaited."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(POLL_S)


def interrupt_on_signals() -> None:
    """Make SIGTERM and SIGINT raise KeyboardInterrupt, so that open contexts stop what they have started."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def wait_for_end(processes: Sequence[Process]) -> Process:
    """Return the first process that ends by itself; a signal interrupts the wait."""
    while True:
        for process in processes:
            if not process.running:
                return process
        time.sleep(WATCH_S)


def http_status(url: str) -> int:
    """Status of a GET; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_S) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody listens on, all different."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports
