"""A gallery that lives elsewhere: Parquet of one feature space in, Parquet of another out, on all cores."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from contract.errors import VectorError
from contract.manifest import TranslatorManifest
from contract.spaces import FeatureSpace
from service.bulk.column_names import feature_column
from service.bulk.defaults import PART_ROWS, OnRows, tell_nobody
from service.bulk.errors import JobError, StoppedError, data_error
from service.bulk.parquet import check_features_of, check_once, feature_dim, footer_of, read_rows
from service.bulk.parts import held_folder, new_part
from service.bulk.processes import Stopped, translate_in_processes
from service.bulk.sources import SPACE_KEY, Source, find_sources
from service.bulk.translation import ADDED, Translates, native_part, translate_part, translated_schema
from service.bulk.translator import find_version, opened

NATIVE = "native-"  # before the names of files of faces that are in the target's space as they are


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be translated, and by what."""

    source: Path  # a Parquet file, a folder of them or an export
    out: Path
    source_model: str
    target_model: str
    repository: Path
    feature: str | None = None  # column; None: `feature`, or the one named by the source space
    into: str | None = None  # column; None: as `feature`, or named by the target space
    part_rows: int = PART_ROWS


@dataclass(frozen=True, slots=True)
class Part:
    """Rows [start, stop) of one input file and the output file they become; `native` ones are not translated."""

    source: Path
    start: int
    stop: int
    target: Path
    feature: str
    into: str
    native: bool
    metadata: dict[bytes, bytes]

    @property
    def rows(self) -> int:
        """Of the output file."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Moved:
    """Faces that are in the target's space now: translated, or enrolled in it from the first."""

    translated: int
    native: int


def translate_folder(job: Job, workers: int, on_rows: OnRows = tell_nobody, stopped: Stopped = lambda: False) -> Moved:
    """Translate what is not there yet, keeping parts that were finished before; returns how many faces are there now.

    Raises:
        BulkError: input, folder or translator cannot be used. Parts that were finished stay.
    """
    version_folder, manifest = find_version(job.repository, job.source_model, job.target_model)
    parts = plan(job, manifest)
    total = sum(part.rows for part in parts)
    with held_folder(job.out):
        left = _left(job.out, parts)
        done = total - sum(part.rows for part in left)
        on_rows(done, total)
        for file, feature in dict.fromkeys((part.source, part.feature) for part in left):
            check_features_of(file, feature)  # all of it before anything is written
        for rows in _translated(left, version_folder, workers, stopped):
            done += rows
            on_rows(done, total)
    native = sum(part.rows for part in parts if part.native)
    return Moved(total - native, native)


def plan(job: Job, manifest: TranslatorManifest) -> list[Part]:
    """The parts of a job, in order; the same for the same input. Raises BulkError before anything is written."""
    if job.out.resolve() == job.source.resolve():
        raise JobError(f"{job.out}: input and output are the same folder")
    parts = list[Part]()
    for source in find_sources(job.source, job.source_model, {job.target_model}):
        native = source.space == job.target_model  # beside those of the source, in an export
        schema, rows = footer_of(source.file)
        feature, into = _column_names(job, source, schema)
        _check_dim(source, schema, feature, manifest.target if native else manifest.source)
        for index, start in enumerate(range(0, max(rows, 1), job.part_rows)):
            stop = min(start + job.part_rows, rows)
            target = job.out / f"{NATIVE if native else ''}{source.file.stem}-{index:05d}.parquet"
            metadata = _metadata(manifest, source, feature, start, stop)
            parts.append(Part(source.file, start, stop, target, feature, into, native, metadata))
    return parts


def write_part(translator: Translates, part: Part, stopped: Stopped) -> int:
    """Translate one part into its file; returns its rows. Raises BulkError."""
    schema, _ = footer_of(part.source)
    out_schema = translated_schema(schema, translator.manifest, part.feature, part.into)
    with new_part(part.target, out_schema.with_metadata(part.metadata)) as writer:
        for rows in read_rows(part.source, None, part.start, part.stop):
            if stopped():
                raise StoppedError
            try:
                table = _changed(translator, part, pa.Table.from_batches([rows.batch]))
            except VectorError as error:
                raise rows.refusal(error.reason, part.feature, error.row) from None
            writer.write(table.replace_schema_metadata(part.metadata))
    return writer.rows


def _translated(parts: list[Part], version_folder: Path, workers: int, stopped: Stopped) -> Iterator[int]:
    """Write parts, in this process where one is enough; yields the rows of each."""
    if min(workers, len(parts)) > 1:
        yield from translate_in_processes(write_part, parts, version_folder, workers, stopped)
    elif parts:
        with opened(version_folder) as translator:
            yield from (write_part(translator, part, stopped) for part in parts)


def _changed(translator: Translates, part: Part, table: pa.Table) -> pa.Table:
    if part.native:
        return native_part(table, translator.manifest, part.feature, part.into)
    return translate_part(table, translator, part.feature, part.into)


def _check_dim(source: Source, schema: pa.Schema, feature: str, space: FeatureSpace) -> None:
    dim = feature_dim(source.file, schema, feature)
    if dim != space.dim:
        raise data_error(source.file, f"has {dim} dimensions, where {space.id} has {space.dim}", column=feature)


def _column_names(job: Job, source: Source, schema: pa.Schema) -> tuple[str, str]:
    """The column that is translated, and the one it becomes."""
    file, feature = source.file, feature_column(schema, source.space, job.feature)
    into = job.into or (job.target_model if feature == job.source_model else feature)
    check_once(file, schema, feature)
    for name in ADDED:
        if name in schema.names:
            raise data_error(file, "is there already: translate originals, never a translation", column=name)
    if into != feature and into in schema.names:
        raise data_error(file, "is there already: name another with --target-column", column=into)
    return feature, into


def _metadata(manifest: TranslatorManifest, source: Source, feature: str, start: int, stop: int) -> dict[bytes, bytes]:
    read = {
        "r3an.input_column": feature,
        "r3an.input_sha256": source.sha256,
        "r3an.input_rows": f"{start}-{stop}",
    }
    facts = {
        "r3an.derived_from": manifest.source.id,
        "r3an.translator": manifest.name,
        "r3an.translator_sha256": manifest.sha256,
    }
    known = read if source.space == manifest.target.id else facts | read
    return {SPACE_KEY: manifest.target.id.encode()} | {name.encode(): value.encode() for name, value in known.items()}


def _left(out: Path, parts: list[Part]) -> list[Part]:
    """The parts that are not finished. Raises JobError where a file is of other work than this."""
    planned = {part.target: part for part in parts}
    for file in sorted(out.glob("*.parquet")):
        if file not in planned:
            raise JobError(f"{file}: is no part of this work; take another folder")
        _check_finished(planned[file])
    return [part for part in parts if not part.target.exists()]


def _check_finished(part: Part) -> None:
    schema, rows = footer_of(part.target)
    said = schema.metadata or {}
    other = [name.decode().removeprefix("r3an.") for name, value in part.metadata.items() if said.get(name) != value]
    if other:
        raise JobError(f"{part.target}: was made of another {other[-1]}; take another folder, or restore the input")
    if rows != part.rows or part.into not in schema.names:
        raise JobError(f"{part.target}: does not hold what it should; remove it to have it made again")
