"""The threads of the embedded store: one that writes, two that search."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from service.errors import GalleryUnavailableError
from service.galleries.embedded.read_write_lock import ReadWriteLock

SEARCH_THREADS = 2  # more only share one memory bandwidth
# Of a product of matrices. BLAS's threads wait for each other: where anything else computes, a scan waits until the
# system runs the other one (docs/decisions/gallery-stores.md).
BLAS_THREADS = 1

R = TypeVar("R")


class Threads:
    """Runs work off the event loop until closed. What waits for a thread is bounded by the gateway's requests.

    From then on BLAS has one thread in the whole process.
    """

    def __init__(self) -> None:
        self.closed = False
        threadpool_limits(BLAS_THREADS, user_api="blas")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="gallery-writer")
        self._readers = ThreadPoolExecutor(SEARCH_THREADS, thread_name_prefix="gallery-reader")

    async def write(self, work: Callable[[], R]) -> R:
        """Run what needs the disk, one after the other. Raises GalleryUnavailableError."""
        return await self._run(self._writer, work)

    async def read(self, lock: ReadWriteLock, work: Callable[[], R]) -> R:
        """Run what looks at memory while nobody changes it. Raises GalleryUnavailableError."""

        def run() -> R:
            with lock.read():
                return work()

        return await self._run(self._readers, run)

    def finish(self) -> None:
        """Wait for what is under way. Blocks; `closed` is set before."""
        self._readers.shutdown()
        self._writer.shutdown()

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], R]) -> R:
        if self.closed:
            raise GalleryUnavailableError("the gallery store is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except sqlite3.Error as error:
            raise GalleryUnavailableError("the gallery store could not write") from error
