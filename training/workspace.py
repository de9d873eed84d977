"""A run's folder: one run at a time, no decoded face or feature left behind, and every file in it whole."""

import fcntl
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch

from training.errors import ConfigError, DataError

LOCK_FILE, COPY_PREFIX = ".lock", ".pairs-"
LOCK_ATTEMPTS_MAX = 10

_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())  # by the run that this code is part of


@contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """Hold `out` alone; yields a folder in it for the decoded copy of the data, which is gone afterwards.

    Two runs in one folder would write the same checkpoint. As there is one at most, a copy that lies here at the start
    is that of a run that was killed, and is removed.

    A run that ends with an error before anything lies here leaves no folder either, if it made it.

    Raises:
        ConfigError: another run holds the folder.
    """
    with _hold(out):
        for left in out.glob(f"{COPY_PREFIX}*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=COPY_PREFIX, dir=out) as copy:
            yield Path(copy)


def hold(out: Path) -> AbstractContextManager[None]:
    """Hold `out` alone, as `workspace` does, but for who holds it already: a run and the one fit that it is.

    Raises:
        ConfigError: another run holds the folder.
    """
    return nullcontext() if out.resolve() in _held.get() else _hold(out)


@contextmanager
def _hold(out: Path) -> Iterator[None]:
    missing = _missing(out)
    with _lock(out):
        before = _held.set(_held.get() | {out.resolve()})
        try:
            yield
        except BaseException:
            _leave_no_trace(out, missing)
            raise
        finally:
            _held.reset(before)


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """The lock ends with the process, however that ends. Its file stays unless nothing else lies beside it."""
    for _ in range(LOCK_ATTEMPTS_MAX):
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
    _remove_empty(made)


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder and its parents; those that this made and that are empty at the end are gone again."""
    missing = _missing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        _remove_empty(missing)


def _missing(folder: Path) -> list[Path]:
    """Which folders would be made for this one to be there, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _remove_empty(folders: list[Path]) -> None:
    with suppress(OSError):  # something lies in one of them, and so in all that follow
        for folder in folders:
            folder.rmdir()


def write_atomically(file: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, text as UTF-8: nobody ever reads half of it, not after a power cut either.

    Raises:
        DataError: it cannot be written, as the disk is full; what was there stays, and nothing beside it.
    """
    staged = file.with_name(f".{file.name}")
    try:
        with staged.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(file)
    except OSError as error:
        raise DataError(str(file), f"cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):  # it is in its place by now, or was never made
            staged.unlink()


def save_atomically(file: Path, tensors: dict[str, Any]) -> None:
    """Write what `torch.load` reads, as `write_atomically` does, through memory: torch hides why a disk refused it."""
    content = io.BytesIO()
    torch.save(tensors, content)
    write_atomically(file, content.getvalue())
