"""A run's folder: one run at a time, and no decoded face or feature left behind."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import ConfigError

LOCK_FILE, COPY_PREFIX = ".lock", ".pairs-"


@contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """Hold `out` alone; yields a folder in it for the decoded copy of the data, which is gone afterwards.

    Two runs in one folder would write the same checkpoint. As there is one at most, a copy that lies here at the start
    is that of a run that was killed, and is removed.

    Raises:
        ConfigError: another run holds the folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    # The lock ends with the process, however that ends. Its file stays: a run that has just opened it could otherwise
    # lock a file that is no longer in the folder.
    with (out / LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            reason = "another run is at work in this folder; wait for its end or choose another folder"
            raise ConfigError(f"{out}: {reason}") from error
        for left in out.glob(f"{COPY_PREFIX}*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=COPY_PREFIX, dir=out) as copy:
            yield Path(copy)


def write_atomically(file: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, text as UTF-8, so that a reader never sees half of it."""
    staged = file.with_name(f".{file.name}")
    staged.write_bytes(content.encode() if isinstance(content, str) else content)
    staged.replace(file)
