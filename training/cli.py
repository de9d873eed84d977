"""`r3an`: how it starts and what ends it. The commands are imported when a signal can no longer meet an import."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from training.errors import EXIT_BAD_INPUT, TrainingError

EXIT_INTERRUPTED = 130
INTERRUPTED = "interrupted; run the same command again to go on"
STOPS = (signal.SIGINT, signal.SIGTERM)  # a stopped container cleans up as after Ctrl-C

# glibc gives freed memory back at once and faults it in again at the next batch, which slows training two to three
# times. The settings are read when a process starts, hence the second start.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "OMP_WAIT_POLICY": "passive",
}


def main() -> None:
    """Entry point: one line on standard error and exit code 2 for what cannot be used, 130 after Ctrl-C or SIGTERM."""
    stops = [stop for stop in STOPS if signal.getsignal(stop) is not signal.SIG_IGN]
    for stop in stops:  # first of all: an import that is interrupted prints where, or takes the stop for an error
        signal.signal(stop, _end_at_once)
    _set_allocator()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    import typer  # noqa: PLC0415 - see above
    from typer.exceptions import TyperException  # noqa: PLC0415 - see above

    from training.commands import app  # noqa: PLC0415 - see above

    for stop in stops:
        signal.signal(stop, signal.default_int_handler)
    try:
        # Not standalone: Ctrl-C and our own errors are told here, in one place.
        code = app(standalone_mode=False)
    except (TrainingError, TyperException) as error:
        _fail(error.format_message() if isinstance(error, typer.BadParameter) else str(error), EXIT_BAD_INPUT)
    except OSError as error:  # a place that cannot be read or written
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED:  # typer's own answer to Ctrl-C while a command runs
        # Python ends itself by SIGINT, not with our code, if the stop met an `exec`, as imports use it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        _fail(INTERRUPTED, EXIT_INTERRUPTED)
    raise SystemExit(code or 0)


def _end_at_once(_: int, __: FrameType | None) -> None:
    """End before there is anything to clean up."""
    os.write(sys.stderr.fileno(), f"r3an: {INTERRUPTED}\n".encode())
    os._exit(EXIT_INTERRUPTED)


def _fail(message: str, code: int) -> NoReturn:
    if message:  # without a command typer shows its help and has nothing to add
        print(f"r3an: {message}", file=sys.stderr)  # noqa: T201 - a command's last word
    raise SystemExit(code)


def _set_allocator() -> None:
    if sys.platform != "linux" or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # what comes before the second start can answer waits for it
    os.execve(sys.executable, sys.orig_argv, os.environ | ALLOCATOR)  # noqa: S606 - ourselves, as we were started


if __name__ == "__main__":
    main()
