"""A run's folder: one run at a time, and no decoded face or feature left behind."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from training.errors import ConfigError

LOCK_FILE, COPY_PREFIX = ".lock", ".pairs-"
HOLD_ATTEMPTS_MAX = 10


@contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """Hold `out` alone; yields a folder in it for the decoded copy of the data, which is gone afterwards.

    Two runs in one folder would write the same checkpoint. As there is one at most, a copy that lies here at the start
    is that of a run that was killed, and is removed.

    A run that ends with an error before anything lies here leaves no folder either, if it made it.

    Raises:
        ConfigError: another run holds the folder.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]  # innermost first
    with _hold(out):
        for left in out.glob(f"{COPY_PREFIX}*"):
            shutil.rmtree(left)
        try:
            with tempfile.TemporaryDirectory(prefix=COPY_PREFIX, dir=out) as copy:
                yield Path(copy)
        except BaseException:
            _leave_no_trace(out, made)
            raise


@contextmanager
def _hold(out: Path) -> Iterator[None]:
    """The lock ends with the process, however that ends. Its file stays unless nothing else lies beside it."""
    for _ in range(HOLD_ATTEMPTS_MAX):
        out.mkdir(parents=True, exist_ok=True)
        try:
            lock = (out / LOCK_FILE).open("a")
        except FileNotFoundError:  # another run was refused, and took the folder with it
            continue
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                reason = "another run is at work in this folder; wait for its end or choose another folder"
                raise ConfigError(f"{out}: {reason}") from error
            if os.fstat(lock.fileno()).st_nlink:  # else another run, refused since, took this file away
                yield
                return
    raise ConfigError(f"{out}: other runs keep taking this folder away; choose another one")


def _leave_no_trace(out: Path, made: list[Path]) -> None:
    if [path.name for path in out.iterdir()] != [LOCK_FILE]:
        return
    (out / LOCK_FILE).unlink()
    with suppress(OSError):  # somebody has put something there since
        for folder in made:
            folder.rmdir()


def write_atomically(file: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, text as UTF-8, so that a reader never sees half of it."""
    staged = file.with_name(f".{file.name}")
    staged.write_bytes(content.encode() if isinstance(content, str) else content)
    staged.replace(file)
