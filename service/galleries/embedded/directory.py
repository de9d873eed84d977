"""The directory of the embedded store: held by one process, its galleries loaded."""

import fcntl
import sqlite3
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from service.errors import GalleryUnavailableError
from service.galleries.embedded.claims import Clock
from service.galleries.embedded.database import open_database
from service.galleries.embedded.loading import load
from service.galleries.embedded.memory import MemoryGallery

DATABASE_FILE = "galleries.sqlite"
LOCK_FILE = "lock"


@dataclass(frozen=True, slots=True)
class OpenDirectory:
    """What a directory holds, until `release.close()`."""

    database: sqlite3.Connection
    galleries: dict[str, MemoryGallery]  # by name
    release: ExitStack


def open_directory(directory: Path, clock: Clock) -> OpenDirectory:
    """Lock a directory, made if missing, and load all of it.

    Raises:
        GalleryUnavailableError: another process has the directory open, or it cannot be read.
    """
    try:
        with ExitStack() as undo:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock_file = undo.enter_context((directory / LOCK_FILE).open("ab"))
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            database = undo.enter_context(closing(open_database(directory / DATABASE_FILE)))
            return OpenDirectory(database, load(database, clock), undo.pop_all())
    except BlockingIOError as error:
        raise GalleryUnavailableError("the gallery directory is open in another process") from error
    except OSError as error:
        raise GalleryUnavailableError(f"the gallery directory cannot be used: {error.strerror}") from error
    except (sqlite3.Error, ValueError) as error:  # whose text quotes the subject or tag that it could not read
        reason = getattr(error, "sqlite_errorname", type(error).__name__)
        raise GalleryUnavailableError(f"{DATABASE_FILE} cannot be read: {reason}") from None
