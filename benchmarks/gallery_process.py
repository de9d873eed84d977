"""A gallery store in a process of its own, so that its resident bytes are its own, which does what it is told.

Beside every search stands the time to stream the gallery's bytes from memory, which no exact search can beat by much.
It is the maximum over the same number of bytes, seen as integers of 32 bits: numpy's plainest vectorised loop, which
keeps one register and multiplies nothing, so that memory alone decides. A dot product through BLAS would be the search
itself, and a copy writes what a search does not. One thread reads: on this kind of machine one core fills the memory
bus. The bytes are the format's: four a component in the embedded store, two in Redis.
"""

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.gallery_faces import BATCH_FACES, faces_of_batch, features_of_batch, probes_of, row_of, space_of
from benchmarks.gallery_stores import open_store
from benchmarks.process_costs import family_of, resident_bytes
from contract.vectors import Features
from service.galleries.base import GalleryStore
from service.galleries.values import Rendition
from service.settings import StoreKind

GALLERY = "bench"
ANSWER_S_MAX = 3600.0  # of one task
READY_S_MAX = 600.0
POLL_S = 0.01
TOP_K = 10
SINGLES, STREAMS = 20, 5  # of a round, in turn: four searches, one stream
BATCH_PROBES = 64
COMPONENT_BYTES = {StoreKind.LOCAL: 4, StoreKind.REDIS: 2}  # float32; float16

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Place:
    """Which store, where (a folder or a Redis URL), and the dimension of its one gallery."""

    store: StoreKind
    where: str
    dim: int


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds of single-probe searches, of one search of 64 probes, and of streams of the gallery's bytes."""

    singles_s: list[float]
    batch_s: float
    streams_s: list[float]


class RunningStore:
    """A store that runs in a process of its own."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def open(self) -> float:
        """Open the store; returns the seconds until it is ready."""
        return self._tell(_open)

    def create(self) -> None:
        """Create the gallery."""
        self._tell(_create)

    def enrol(self, first: int, batches: int) -> float:
        """Write batches of 1,000 faces; returns the seconds spent in the store."""
        return self._tell(_enrol, first, batches)

    def wait_for(self, faces: int) -> float:
        """Wait until a search sees so many faces; returns the seconds. Raises TimeoutError."""
        return self._tell(_wait_for, faces)

    def resident_bytes(self) -> int:
        """Resident bytes of the process and of those it has started."""
        return self._tell(_resident_bytes)

    def time_round(self, number: int, faces: int) -> Round:
        """Search single probes and a batch, and stream the gallery's bytes in turn."""
        return self._tell(_time_round, number, faces)

    def find(self, probes: Features) -> list[int]:
        """The row of the most similar face of each probe [P, d], -1 where there is none."""
        return self._tell(_find, probes)

    def close(self) -> None:
        """Close the store."""
        self._tell(_close)

    def _tell(self, task: Callable[..., R], *arguments: object) -> R:
        return self._pool.submit(task, *arguments).result(ANSWER_S_MAX)


@contextmanager
def start_store(place: Place) -> Iterator[RunningStore]:
    """Start the process; the store opens when it is told to."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin, initargs=(place,)) as pool:
        yield RunningStore(pool)


# What follows runs in that process.


@dataclass(slots=True)
class _Served:
    place: Place
    runner: asyncio.Runner
    store: GalleryStore | None = None
    stream: NDArray[np.int32] | None = None


_served: list[_Served] = []  # a worker process keeps its own between tasks


def _begin(place: Place) -> None:
    runner = asyncio.Runner()
    if place.store is StoreKind.LOCAL:  # Redis is weighed by what it says of itself
        runner.run(_warm_up(place.dim))
    _served.append(_Served(place, runner))


def _run(ask: Callable[[GalleryStore], Awaitable[R]]) -> R:
    (served,) = _served
    if served.store is None:
        raise RuntimeError("the store is not open")
    return served.runner.run(_awaited(ask(served.store)))


async def _awaited(answer: Awaitable[R]) -> R:
    return await answer


def _open() -> float:
    (served,) = _served
    started_at = time.perf_counter()
    served.store = served.runner.run(open_store(served.place.store, served.place.where))
    while not _run(lambda store: store.ready()):
        if time.perf_counter() - started_at > READY_S_MAX:
            raise TimeoutError(f"waited {READY_S_MAX:g} s for the store to be ready")
        time.sleep(POLL_S)
    return time.perf_counter() - started_at


def _create() -> None:
    (served,) = _served
    _run(lambda store: store.create(GALLERY, space_of(served.place.dim)))


async def _warm_up(dim: int) -> None:
    """Touch all code on another store, so that what is weighed afterwards is the gallery and not libraries."""
    space, features = space_of(dim), features_of_batch(0, dim)
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(StoreKind.LOCAL, folder)
        await store.create(GALLERY, space)
        await store.upsert(GALLERY, faces_of_batch(0), Rendition(space, features))
        await store.search(GALLERY, space, features[:BATCH_PROBES], TOP_K)
        await store.close()


def _enrol(first: int, batches: int) -> float:
    (served,) = _served
    space, seconds = space_of(served.place.dim), 0.0
    for batch in range(first, first + batches):
        faces, rendition = faces_of_batch(batch), Rendition(space, features_of_batch(batch, space.dim))
        started_at = time.perf_counter()
        new = _run(lambda store, f=faces, r=rendition: store.upsert(GALLERY, f, r))  # type: ignore[misc] # bound here
        seconds += time.perf_counter() - started_at
        if not all(new):
            raise RuntimeError(f"{sum(new)} of {BATCH_FACES} faces were new")
    return seconds


def _wait_for(faces: int) -> float:
    (served,) = _served
    space, started_at = space_of(served.place.dim), time.perf_counter()
    probe = features_of_batch(0, space.dim)[:1]
    while _run(lambda store: store.search(GALLERY, space, probe, 1)).searched != faces:
        if time.perf_counter() - started_at > READY_S_MAX:
            raise TimeoutError(f"waited {READY_S_MAX:g} s for a search to see {faces} faces")
        time.sleep(POLL_S)
    return time.perf_counter() - started_at


def _resident_bytes() -> int:
    gc.collect()
    return sum(resident_bytes(process_id) for process_id in family_of(os.getpid()))


def _time_round(number: int, faces: int) -> Round:
    (served,) = _served
    dim = served.place.dim
    if served.stream is None:  # after memory was measured; filled, as pages nobody wrote to are all one page
        components = faces * dim * COMPONENT_BYTES[served.place.store] // np.dtype(np.int32).itemsize
        served.stream = np.arange(components, dtype=np.int32)
    probes = probes_of(SINGLES + BATCH_PROBES, faces, dim, seed=1 + number)
    singles_s: list[float] = []
    streams_s: list[float] = []
    for single in range(SINGLES):
        singles_s.append(_search_seconds(probes[single : single + 1]))
        if (single + 1) % (SINGLES // STREAMS) == 0:
            started_at = time.perf_counter()
            served.stream.max()
            streams_s.append(time.perf_counter() - started_at)
    return Round(singles_s, _search_seconds(probes[SINGLES:]), streams_s)


def _search_seconds(probes: Features) -> float:
    (served,) = _served
    space, started_at = space_of(served.place.dim), time.perf_counter()
    _run(lambda store: store.search(GALLERY, space, probes, TOP_K))
    return time.perf_counter() - started_at


def _find(probes: Features) -> list[int]:
    (served,) = _served
    found = _run(lambda store: store.search(GALLERY, space_of(served.place.dim), probes, 1))
    return [row_of(matches[0].face_id) if matches else -1 for matches in found.matches]


def _close() -> None:
    (served,) = _served
    _run(lambda store: store.close())
    served.store = None
    served.runner.close()
