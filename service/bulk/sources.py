"""Which Parquet files are to be worked on, and of which feature space each is."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from contract.manifest import sha256_of
from service.bulk.errors import JobError, data_error
from service.bulk.export_folder import EXPORT_FILE, ExportedSpace, read_export
from service.bulk.parquet import footer_of, parquet_files

SPACE_KEY = b"r3an.space"  # in a part's Parquet metadata: the space of its feature column


@dataclass(frozen=True, slots=True)
class Source:
    """One Parquet file of one feature space, as it is now."""

    file: Path
    space: str
    rows: int
    sha256: str


def find_sources(path: Path, space: str | None, beside: Collection[str] = ()) -> list[Source]:
    """A Parquet file, the Parquet files of a folder, or those of an export folder; in order.

    `space` may be left out where the files say it. An export's parts are compared with what it says of them; it may
    hold faces of the spaces `beside` too.

    Raises:
        DataError: a file is missing, damaged or not the one that was exported.
        JobError: the files are of another space than `space`, or none says which; an export holds faces of others too.
    """
    if (path / EXPORT_FILE).exists():
        return _exported(path, space, beside)
    return [_single(file, space) for file in parquet_files(path)]


def fingerprint(sources: list[Source]) -> str:
    """One sha256 over the files' names, spaces and contents, in order."""
    lines = [f"{source.space} {source.file.name} {source.sha256}\n" for source in sources]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _exported(folder: Path, space: str | None, beside: Collection[str]) -> list[Source]:
    spaces = read_export(folder).spaces
    if space is not None:
        _check_spaces(folder, spaces, space, beside)
    sources = []
    for name, exported in spaces.items():
        for part in exported.parts:
            source = _single(folder / name / part.file, name)
            if (source.rows, source.sha256) != (part.rows, part.sha256):
                raise data_error(source.file, f"is not the file that {EXPORT_FILE} names: it was changed")
            sources.append(source)
    return sources


def _check_spaces(folder: Path, spaces: dict[str, ExportedSpace], space: str, beside: Collection[str]) -> None:
    """Refuse an export without faces of `space`, and one that would be taken in part."""
    file = folder / EXPORT_FILE
    if space not in spaces:
        raise JobError(f"{file}: holds features of {', '.join(spaces) or 'no space'}, not of {space}")
    others = [f"{spaces[name].faces} faces of {name}" for name in spaces if name not in {space, *beside}]
    if others:
        hint = f"name {folder / space} to take those of {space} alone"
        raise JobError(f"{file}: holds {' and '.join(others)} too, which would be left out: {hint}")


def _single(file: Path, space: str | None) -> Source:
    schema, rows = footer_of(file)
    said = (schema.metadata or {}).get(SPACE_KEY, b"").decode(errors="replace") or None
    if said is not None and space is not None and said != space:
        raise JobError(f"{file}: holds features of {said}, not of {space}")
    if said is None and space is None:
        raise JobError(f"{file}: does not say its feature space: name it with --source-model")
    return Source(file, space or said or "", rows, sha256_of(file))
