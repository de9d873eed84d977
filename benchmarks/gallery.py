"""What a city's gallery costs in each store: writes, memory, search beside what memory allows, recall, restart.

And what the command that imports a gallery makes of the writes, over HTTP, at one size.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import redis

from benchmarks.gallery_faces import BATCH_FACES, compare_all, probes_of
from benchmarks.gallery_import import FACES as IMPORT_FACES
from benchmarks.gallery_import import import_rate
from benchmarks.gallery_process import BATCH_PROBES, Place, Round, RunningStore, start_store
from benchmarks.results import Claim, Figure, Result, claim, result_of, spread_of
from deploy.process import READY_TIMEOUT_S
from deploy.redis.start import RedisServer
from service.settings import StoreKind
from training.progress import View

SIZES = (10_000, 100_000, 1_000_000)
FACES_MAX = 10_000_000
DIM = 256
ROUNDS = 10
RECALL_PROBES = 1000
RESTART_TIMEOUT_S = 5 * READY_TIMEOUT_S
STREAM_RATIO_MAX = 1.5
BATCH_RATIO_MIN = 3.0
RECALL_MIN = 1.0
WRITTEN_PER_S_MIN = 10_000.0
IMPORT_PER_S_MIN = 10_000.0  # of the command
FACE_BYTES_MAX = {StoreKind.LOCAL: 1200.0, StoreKind.REDIS: 2000.0}


@dataclass(frozen=True, slots=True)
class Measured:
    """One store at one size."""

    store: StoreKind
    faces: int
    written_per_s: Figure
    face_bytes: float
    restarted_face_bytes: float | None  # of a store in process: as it is after a restart
    search_ms: Figure  # median
    search_p99_ms: Figure
    stream_ms: Figure
    over_stream: Figure
    batch_over_single: Figure
    recall: float
    restart_s: float

    @property
    def label(self) -> str:
        """What its figures begin with."""
        return f"{self.store}, {self.faces:,} faces"


def gallery_result(
    command: str, sizes: Sequence[int], dim: int, stores: Sequence[StoreKind], view: View
) -> tuple[Result, list[Measured]]:
    """Measure each store at each size, and the import into it at one; claims are about the greatest.

    Raises:
        ValueError: a size is no multiple of 1,000, or out of bounds.
    """
    if any(size % BATCH_FACES or not BATCH_FACES <= size <= FACES_MAX for size in sizes):
        raise ValueError(f"sizes are multiples of {BATCH_FACES} from {BATCH_FACES} to {FACES_MAX}")
    started_at = time.monotonic()
    measured = [measure(store, size, dim, view) for store in stores for size in sorted(sizes)]
    figures: dict[str, float | Figure] = {}
    claims: list[Claim] = []
    for one in measured:
        figures |= _figures(one)
        if one.faces == max(sizes):
            claims += _claims(one)
    imported = min(max(sizes), IMPORT_FACES)
    for store in stores:
        what = f"{store}, {imported:,} faces: import, faces/s"
        view.stage(f"{store}, {imported:,} faces: importing over HTTP")
        rate = import_rate(store, imported, dim, view.counter(f"{store}: imports"))
        figures[what] = rate
        claims.append(claim(what, rate.value, ">=", IMPORT_PER_S_MIN))
    seconds = time.monotonic() - started_at
    result = result_of(
        name="gallery",
        command=command,
        seconds=seconds,
        figures=figures,
        claims=claims,
    )
    return result, measured


def measure(kind: StoreKind, faces: int, dim: int, view: View) -> Measured:
    """Fill a new store in a process of its own, search it, and start it again."""
    name = f"{kind}, {faces:,} faces"
    with _place(kind, dim) as (place, server):
        with start_store(place) as store:
            view.stage(f"{name}: writing")
            store.open()
            store.create()
            before = _held_bytes(store, server)
            written_per_s = _write(store, faces, view.counter(f"{name}: batches written"))
            store.wait_for(faces)
            face_bytes = (_held_bytes(store, server) - before) / faces
            view.stage(f"{name}: searching")
            rounds = _search(store, faces, view.counter(f"{name}: rounds"))
            view.stage(f"{name}: comparing with every face in float64")
            recall = _recall(store, faces, dim, view.counter(f"{name}: batches compared"))
            store.close()
        view.stage(f"{name}: starting again")
        restart_s, restarted_bytes = _restart(place, server, faces)
    singles_ms = [[1000 * second for second in one.singles_s] for one in rounds]
    medians_ms = [statistics.median(ms) for ms in singles_ms]
    streams_ms = [1000 * statistics.median(one.streams_s) for one in rounds]
    batch_ms = [1000 * one.batch_s / BATCH_PROBES for one in rounds]
    return Measured(
        store=kind,
        faces=faces,
        written_per_s=written_per_s,
        face_bytes=face_bytes,
        restarted_face_bytes=None if restarted_bytes is None else restarted_bytes / faces,
        search_ms=spread_of(medians_ms),
        search_p99_ms=_tail(singles_ms),
        stream_ms=spread_of(streams_ms),
        over_stream=spread_of([a / b for a, b in zip(medians_ms, streams_ms, strict=True)]),
        batch_over_single=spread_of([a / b for a, b in zip(medians_ms, batch_ms, strict=True)]),
        recall=recall,
        restart_s=restart_s,
    )


@contextmanager
def _place(kind: StoreKind, dim: int) -> Iterator[tuple[Place, RedisServer | None]]:
    """An empty folder, or an empty Redis of its own."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if kind is StoreKind.LOCAL:
            yield Place(kind, folder, dim), None
        else:
            server = stack.enter_context(RedisServer(data=Path(folder)))
            yield Place(kind, server.url, dim), server


def _held_bytes(store: RunningStore, server: RedisServer | None) -> int:
    """What the store keeps in memory: its process's, or what Redis says of itself."""
    if server is None:
        return store.resident_bytes()
    with redis.Redis.from_url(server.url, protocol=2) as client:
        return int(client.info("memory")["used_memory"])


def _write(store: RunningStore, faces: int, on_round: Callable[[int, int], None]) -> Figure:
    parts = np.array_split(np.arange(faces // BATCH_FACES), min(ROUNDS, faces // BATCH_FACES))
    per_s: list[float] = []
    for part in parts:
        per_s.append(len(part) * BATCH_FACES / store.enrol(int(part[0]), len(part)))
        on_round(int(part[-1]) + 1, faces // BATCH_FACES)
    return spread_of(per_s)


def _search(store: RunningStore, faces: int, on_round: Callable[[int, int], None]) -> list[Round]:
    store.time_round(ROUNDS, faces)  # not counted: what is streamed is made now
    rounds: list[Round] = []
    for number in range(ROUNDS):
        rounds.append(store.time_round(number, faces))
        on_round(number + 1, ROUNDS)
    return rounds


def _recall(store: RunningStore, faces: int, dim: int, on_batch: Callable[[int, int], None]) -> float:
    probes = probes_of(RECALL_PROBES, faces, dim)
    starts = range(0, len(probes), BATCH_PROBES)
    found = [row for start in starts for row in store.find(probes[start : start + BATCH_PROBES])]
    return compare_all(probes, found, faces, dim, on_batch).recall


def _restart(place: Place, server: RedisServer | None, faces: int) -> tuple[float, int | None]:
    """Seconds until all faces are searched again, without Python's own start, and what an embedded store then holds."""
    server_s = 0.0
    if server is not None:
        server.process.stop()
        started_at = time.perf_counter()
        server.start(RESTART_TIMEOUT_S)
        server_s = time.perf_counter() - started_at
    with start_store(place) as store:
        before = store.resident_bytes()
        seconds = server_s + store.open() + store.wait_for(faces)
        held = store.resident_bytes() - before
        store.close()
    return seconds, held if server is None else None


def _tail(rounds_ms: list[list[float]]) -> Figure:
    """The 99th percentile of all, between the least and greatest of the rounds."""
    value = float(np.percentile(np.concatenate(rounds_ms), 99))
    tails = [float(np.percentile(ms, 99)) for ms in rounds_ms]
    return Figure(value=value, low=min(*tails, value), high=max(*tails, value))


def _figures(one: Measured) -> dict[str, float | Figure]:
    bytes_of = "resident bytes a face" if one.store is StoreKind.LOCAL else "Redis's used_memory a face"
    figures: dict[str, float | Figure] = {
        f"{one.label}: written to the store, faces/s": one.written_per_s,
        f"{one.label}: {bytes_of}": one.face_bytes,
        f"{one.label}: search of one probe, p50 ms": one.search_ms,
        f"{one.label}: search of one probe, p99 ms": one.search_p99_ms,
        f"{one.label}: stream of its bytes, ms": one.stream_ms,
        f"{one.label}: search of one probe over stream": one.over_stream,
        f"{one.label}: probes/s in batches of {BATCH_PROBES} over one by one": one.batch_over_single,
        f"{one.label}: recall@1, {RECALL_PROBES:,} probes": one.recall,
        f"{one.label}: restart to ready, s": one.restart_s,
    }
    if one.restarted_face_bytes is not None:
        figures[f"{one.label}: {bytes_of} after the restart"] = one.restarted_face_bytes
    return figures


def _claims(one: Measured) -> list[Claim]:
    face_bytes = max(one.face_bytes, one.restarted_face_bytes or 0.0)
    batch = f"{one.label}: probes/s in batches of {BATCH_PROBES} over one by one"
    return [
        claim(f"{one.label}: search of one probe over stream", one.over_stream.value, "<=", STREAM_RATIO_MAX),
        claim(batch, one.batch_over_single.value, ">=", BATCH_RATIO_MIN),
        claim(f"{one.label}: recall@1 against float64", one.recall, ">=", RECALL_MIN),
        claim(f"{one.label}: bytes in memory a face", face_bytes, "<=", FACE_BYTES_MAX[one.store]),
        claim(f"{one.label}: written to the store, faces/s", one.written_per_s.value, ">=", WRITTEN_PER_S_MIN),
    ]
