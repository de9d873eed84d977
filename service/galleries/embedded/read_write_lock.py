"""Many readers or one writer, for threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class ReadWriteLock:
    """Searches share, a write excludes. A waiting writer goes before new readers, so that it cannot starve."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._readers = 0
        self._writers = 0  # waiting or writing
        self._writing = False

    @property
    def writers_waiting(self) -> int:
        """How many writers wait to get in."""
        return self._writers - self._writing

    @contextmanager
    def read(self) -> Iterator[None]:
        """Hold off writers."""
        with self._changed:
            self._changed.wait_for(lambda: self._writers == 0)
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Hold off everybody."""
        with self._changed:
            self._writers += 1
            self._changed.wait_for(lambda: self._readers == 0 and not self._writing)
            self._writing = True
        try:
            yield
        finally:
            with self._changed:
                self._writers -= 1
                self._writing = False
                self._changed.notify_all()
