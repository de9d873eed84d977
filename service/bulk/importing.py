"""Parquet into a gallery: streamed, several batches in flight, in the order of the rows as far as it can be seen."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.bulk.batches import Batch, read_batches
from service.bulk.client import Gateway, check_same_gallery, describe_gallery
from service.bulk.column_names import (
    AS_THEY_ARE,
    ColumnNames,
    FaceColumns,
    check_space,
    face_columns,
    fingerprint_of_columns,
)
from service.bulk.defaults import BATCH_ROWS, IN_FLIGHT, REFUSED_MAX, OnRows, tell_nobody
from service.bulk.enrolling import REFUSED, Fates, enrol
from service.bulk.errors import JobError, StoppedError, data_error
from service.bulk.import_progress import Counts, Report, State, is_published, read_state, remove_progress, save_state
from service.bulk.parquet import feature_dim, footer_of
from service.bulk.sources import Source, find_sources, fingerprint

FACE_BYTES = 512  # of a face in a body beside its feature, roughly; a body that is too large after all is cut
SAVE_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Import:
    """What goes into which gallery, and where its progress and its fates are kept."""

    gallery: str
    source: Path
    state: Path
    space: str | None = None
    columns: ColumnNames = AS_THEY_ARE
    report: Path | None = None
    batch_rows: int = BATCH_ROWS
    in_flight: int = IN_FLIGHT
    refused_max: int = REFUSED_MAX


@dataclass(frozen=True, slots=True)
class Files:
    """What an import reads, checked, in order."""

    sources: list[Source]
    columns: list[FaceColumns]
    batch_rows: int

    @property
    def rows(self) -> int:
        """Of all files."""
        return sum(source.rows for source in self.sources)

    def batches(self, start: int) -> Iterator[Batch]:
        """All batches from row `start` of all rows on."""
        for source, columns in zip(self.sources, self.columns, strict=True):
            if start < source.rows:
                yield from read_batches(source.file, source.space, columns, max(start, 0), self.batch_rows)
            start -= source.rows


def import_gallery(gateway: Gateway, job: Import, on_rows: OnRows = tell_nobody) -> Counts:
    """Enrol all rows, or those that an interrupted import of the same files has left; returns the counts of all.

    Raises:
        DataError: a file, column or row that cannot be used; found before anything is sent.
        JobError: the files are of another space; files, columns or gallery are not those that were begun with.
        GatewayProblemError, GatewayUnreachableError: what was acknowledged stays, and the import can go on.
    """
    gallery = describe_gallery(gateway, job.gallery)
    files = _checked_files(gateway, job, gallery)
    state = _begun(job, files, gallery["incarnation"])
    counts = Counts(state.rows, state.new, Counter(state.refused))
    on_rows(counts.rows, files.rows)
    if not _is_reported(job, files, state):
        _enrol_rest(gateway, job, files, state, counts, lambda: on_rows(counts.rows, files.rows))
    remove_progress(job.state, job.report)
    return counts


def _is_reported(job: Import, files: Files, state: State) -> bool:
    """Whether all was done but to remove the state. Only a state that was saved knows of a report's bytes."""
    complete = state.rows == files.rows and state.report_bytes > 0
    return job.report is not None and complete and is_published(job.report, state.rows)


def _enrol_rest(
    gateway: Gateway, job: Import, files: Files, state: State, counts: Counts, on_change: Callable[[], None]
) -> None:
    """Enrol what is left after the state, counting it, and publish the report."""
    if state.rows == 0:
        for _ in _batches(gateway, files, 0):
            pass  # all that would be sent can be read, before the first of it is sent
    with Report(job.report, state.report_bytes) as report:
        progress = _Progress(job, state, counts, report, on_change)
        progress.save()
        with _Window(gateway, job, progress) as window:
            for batch in _batches(gateway, files, counts.rows):
                window.send(batch)
        progress.save()
        check_same_gallery(gateway, job.gallery, state.incarnation)
        report.publish()


def _batches(gateway: Gateway, files: Files, start: int) -> Iterator[Batch]:
    """All batches from a row on. Raises StoppedError as soon as the work is told to stop."""
    for batch in files.batches(start):
        if gateway.stopped.is_set():
            raise StoppedError
        yield batch


class _Progress:
    """Counts, report and state, always of the same rows."""

    def __init__(
        self, job: Import, state: State, counts: Counts, report: Report, on_change: Callable[[], None]
    ) -> None:
        self._job = job
        self._state = state
        self._counts = counts
        self._report = report
        self._on_change = on_change
        self._saved_at = time.monotonic()

    def acknowledge(self, batch: Batch, fates: Fates) -> None:
        """Rows that the gateway has answered for. Raises JobError when too many were refused."""
        self._report.add(batch.file, batch.first_row, batch.face_ids, fates.of_rows)
        self._counts.rows += len(batch)
        self._counts.new += fates.new
        self._counts.refused.update(f.removeprefix(REFUSED) for f in fates.of_rows if f.startswith(REFUSED))
        self._on_change()
        if time.monotonic() - self._saved_at > SAVE_INTERVAL_S:
            self.save()
        if self._counts.refused.total() > self._job.refused_max:
            self.save()
            raise JobError(f"more than {self._job.refused_max} rows were refused; {dict(self._counts.refused)}")

    def save(self) -> None:
        """Bring report and state to the disk, in this order."""
        report_bytes = self._report.sync()
        counted = {"rows": self._counts.rows, "new": self._counts.new, "refused": dict(self._counts.refused)}
        save_state(self._job.state, self._state.model_copy(update=counted | {"report_bytes": report_bytes}))
        self._saved_at = time.monotonic()


class _Window:
    """Batches under way, acknowledged in order; a context manager that waits for them."""

    def __init__(self, gateway: Gateway, job: Import, progress: _Progress) -> None:
        self._gateway = gateway
        self._job = job
        self._progress = progress
        self._pool = ThreadPoolExecutor(job.in_flight, "import")
        self._sent: deque[tuple[Batch, Future[Fates]]] = deque()
        self._face_ids: set[str] = set()  # of what is under way

    def send(self, batch: Batch) -> None:
        """Send a batch as soon as there is room, and as none of its faces is under way: the later row wins."""
        while len(self._sent) >= self._job.in_flight or not self._face_ids.isdisjoint(batch.face_ids):
            self._acknowledge()
        self._sent.append((batch, self._pool.submit(enrol, self._gateway, self._job.gallery, batch)))
        self._face_ids.update(batch.face_ids)

    def __enter__(self) -> "_Window":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind in {None, StoppedError}:
                while self._sent:
                    self._acknowledge()
        finally:
            if kind is not None:
                self._gateway.stopped.set()  # nobody waits for what is sent again and again
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._progress.save()

    def _acknowledge(self) -> None:
        batch, future = self._sent[0]
        fates = future.result()
        self._sent.popleft()
        self._face_ids.difference_update(batch.face_ids)
        self._progress.acknowledge(batch, fates)


def _checked_files(gateway: Gateway, job: Import, gallery: Mapping[str, Any]) -> Files:
    """Files, columns, spaces and the route into the gallery. Raises BulkError before anything is sent."""
    limits, catalog, serving = gateway.get("info")["limits"], gateway.get("models"), str(gallery["model"])
    dims = {serving: int(gallery["dim"])} | {str(space["id"]): int(space["dim"]) for space in catalog["models"]}
    routes = {(route["source_model"], route["target_model"]) for route in catalog["routes"]}
    sources = find_sources(job.source, job.space)
    columns = []
    for source in sources:
        if source.space != serving and (source.space, serving) not in routes:
            raise JobError(f"the gateway has no route from {source.space} into {job.gallery}, which is in {serving}")
        columns.append(_checked_columns(source, job.columns, dims))
    body_rows = [limits["body_bytes_max"] // (8 * dims[source.space] + FACE_BYTES) for source in sources]
    return Files(sources, columns, max(1, min(job.batch_rows, limits["rows_max"], *body_rows)))


def _checked_columns(source: Source, given: ColumnNames, dims: dict[str, int]) -> FaceColumns:
    schema, _ = footer_of(source.file)
    columns = face_columns(source.file, schema, source.space, given)
    check_space(source.file, columns.feature, source.space, set(dims))
    dim = feature_dim(source.file, schema, columns.feature)
    if dim != dims[source.space]:
        reason = f"has {dim} dimensions, where {source.space} has {dims[source.space]}"
        raise data_error(source.file, reason, column=columns.feature)
    return columns


def _begun(job: Import, files: Files, incarnation: str) -> State:
    """Where an import of these files stands. Raises JobError where the state is of another one."""
    this = State(
        gallery=job.gallery,
        incarnation=incarnation,
        fingerprint=fingerprint(files.sources),
        columns=fingerprint_of_columns(files.columns),
        report="" if job.report is None else job.report.name,
        rows=0,
        new=0,
        refused={},
        report_bytes=0,
    )
    state = read_state(job.state)
    if state is None or state.rows == 0 < files.rows:
        return this
    for what, now, before in (
        ("gallery", this.gallery, state.gallery),
        ("gallery of this name", this.incarnation, state.incarnation),
        ("report", this.report, state.report),
        ("content", this.fingerprint, state.fingerprint),
        ("choice of columns", this.columns, state.columns),
    ):
        if now != before:
            raise JobError(f"{job.state}: this import was begun with another {what}; remove it to begin anew")
    return state
