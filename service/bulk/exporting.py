"""A gallery into Parquet: page by page, one sequence of parts for each space in which faces were enrolled."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from contract.manifest import sha256_of
from contract.spaces import Name
from contract.vectors import FLOAT32_BYTES, Features, unpack_float32
from service.bulk.client import Gateway, check_same_gallery, describe_gallery
from service.bulk.column_names import ENROLLED_AT, FACE_ID, FEATURE, METADATA, SUBJECT, SUBJECT_METADATA, TAGS
from service.bulk.defaults import OnRows, tell_nobody
from service.bulk.errors import GatewayUnreachableError, JobError, StoppedError
from service.bulk.export_folder import (
    EXPORT_FILE,
    Export,
    ExportedPart,
    ExportedSpace,
    read_export,
    sha256_of_spaces,
    write_export,
)
from service.bulk.parquet import feature_array
from service.bulk.parts import PARTIAL, PartWriter, held_folder, write_text
from service.bulk.sources import SPACE_KEY

PAGE_FACES = 1000
PART_FACES = 100_000  # of all spaces together; what a crash of the exporter may cost
STATE_FILE = "export.state.json"
INSTANT = pa.timestamp("ms", "UTC")

Faces = list[dict[str, Any]]


class State(BaseModel):
    """What has been exported so far: finished parts, and the face after which it goes on."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    gallery: Name
    incarnation: str  # of the gallery: one that was made anew, or another gateway's, holds other faces
    after: str | None
    spaces: dict[Name, ExportedSpace]

    @property
    def faces(self) -> int:
        """In all parts."""
        return sum(space.faces for space in self.spaces.values())


@dataclass(frozen=True, slots=True)
class Target:
    """Where a gallery goes."""

    gallery: str
    folder: Path
    part_faces: int = PART_FACES


def export_gallery(gateway: Gateway, target: Target, on_rows: OnRows = tell_nobody) -> Export:
    """Export all faces, or those that an interrupted export into this folder has left.

    Faces enrolled, replaced or deleted meanwhile may be in it or not: the pages are read one after another.

    Raises:
        JobError: the folder holds a finished export, one of another gallery, or other files; the gallery was deleted
            and made anew meanwhile.
        GatewayProblemError, GatewayUnreachableError.
    """
    gallery = describe_gallery(gateway, target.gallery)
    total, incarnation = int(gallery["faces"]), str(gallery["incarnation"])
    with held_folder(target.folder):
        state = _begun(target, incarnation)
        on_rows(state.faces, total)
        if (target.folder / EXPORT_FILE).exists():  # killed when only the state was to be removed
            (target.folder / STATE_FILE).unlink()
            return read_export(target.folder)
        state = _fetch(gateway, target, state, lambda faces: on_rows(faces, max(faces, total)))
        check_same_gallery(gateway, target.gallery, incarnation)
        export = Export(
            gallery=target.gallery,
            spaces=dict(sorted(state.spaces.items())),
            sha256=sha256_of_spaces(state.spaces),
            exported_at=datetime.now(UTC),
        )
        write_export(export, target.folder)
        (target.folder / STATE_FILE).unlink(missing_ok=True)
    return export


def _begun(target: Target, incarnation: str) -> State:
    """Where the folder stands, with nothing in it that the state does not name. Raises JobError."""
    folder, file = target.folder, target.folder / STATE_FILE
    if (folder / EXPORT_FILE).exists() and (not file.exists() or read_export(folder).gallery != target.gallery):
        raise JobError(f"{folder}: holds a finished export; take another folder")
    if not file.exists():
        if {path.name for path in folder.iterdir()} - {STATE_FILE + PARTIAL}:
            raise JobError(f"{folder}: is not empty and holds no export that could go on")
        state = State(gallery=target.gallery, incarnation=incarnation, after=None, spaces={})
        _save(folder, state)
        return state
    try:
        state = State.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        raise JobError(f"{file}: is no state of an export; take another folder") from None
    if state.gallery != target.gallery:
        raise JobError(f"{folder}: holds part of an export of {state.gallery}; take another folder")
    if state.incarnation != incarnation:
        raise JobError(f"{folder}: holds an export of another gallery of this name; take another folder")
    kept = {folder / space / part.file for space, exported in state.spaces.items() for part in exported.parts}
    for stray in set(folder.glob("*/part-*")) - kept:  # written after the state, by an exporter that was killed
        stray.unlink()
    return state


def _fetch(gateway: Gateway, target: Target, state: State, on_faces: Callable[[int], None]) -> State:
    """All pages that are left, in checkpoints: parts first, then the state that names them."""
    parts, after, more = _Parts(target.folder, state.spaces), state.after, True
    try:
        while more:
            page = _page(gateway, target.gallery, after)
            parts.add(page["faces"])
            after, more = page["next"] or after, page["next"] is not None
            on_faces(state.faces + parts.faces)
            stopped = more and gateway.stopped.is_set()
            if not more or stopped or parts.faces >= target.part_faces:
                state = state.model_copy(update={"after": after, "spaces": parts.publish(state.spaces)})
                _save(target.folder, state)
            if stopped:
                raise StoppedError
    finally:
        parts.discard()
    return state


def _page(gateway: Gateway, gallery: str, after: str | None) -> dict[str, Any]:
    query: dict[str, str | int] = {"limit": PAGE_FACES} | ({} if after is None else {"after": after})
    page = gateway.get("galleries", gallery, "originals", patient=True, query=query)
    if not isinstance(page.get("faces"), list) or "next" not in page:
        raise GatewayUnreachableError("the gateway answers with something that is no page of faces")
    if page["next"] is not None and (not page["faces"] or page["next"] == after):
        raise GatewayUnreachableError("the gateway answers with the same page again")
    return page


class _Parts:
    """The parts that are open, one for each space that came up since the last checkpoint."""

    def __init__(self, folder: Path, spaces: dict[str, ExportedSpace]) -> None:
        self._folder = folder
        self._dims = {space: exported.dim for space, exported in spaces.items()}
        self._next = {space: len(exported.parts) for space, exported in spaces.items()}
        self._open: dict[str, PartWriter] = {}

    @property
    def faces(self) -> int:
        """In open parts."""
        return sum(writer.rows for writer in self._open.values())

    def add(self, faces: Faces) -> None:
        """Write a page's faces, each to the part of its space."""
        for space in sorted({face["origin"] for face in faces}):
            of_space = [face for face in faces if face["origin"] == space]
            table = _table(of_space, space)
            dim = table.schema.field(FEATURE).type.list_size
            if self._dims.setdefault(space, dim) != dim:
                raise JobError(f"{space}: features of {dim} dimensions after others of {self._dims[space]}")
            if space not in self._open:
                self._open[space] = self._begin(space, table.schema)
            self._open[space].write(table)

    def publish(self, spaces: dict[str, ExportedSpace]) -> dict[str, ExportedSpace]:
        """Finish the open parts; returns `spaces` with them."""
        finished = dict(spaces)
        for space, writer in self._open.items():
            writer.publish()
            part = ExportedPart(file=writer.file.name, rows=writer.rows, sha256=sha256_of(writer.file))
            parts = (*(finished[space].parts if space in finished else ()), part)
            faces = sum(part.rows for part in parts)
            finished[space] = ExportedSpace(dim=self._dims[space], faces=faces, parts=parts)
        self._open = {}
        return finished

    def discard(self) -> None:
        """Leave nothing of the open parts."""
        for writer in self._open.values():
            writer.discard()

    def _begin(self, space: str, schema: pa.Schema) -> PartWriter:
        (self._folder / space).mkdir(mode=0o700, exist_ok=True)
        index = self._next.get(space, 0)
        self._next[space] = index + 1
        return PartWriter(self._folder / space / f"part-{index:05d}.parquet", schema)


def _table(faces: Faces, space: str) -> pa.Table:
    features = _features([face["feature"] for face in faces])
    columns = {
        FACE_ID: pa.array([face["face_id"] for face in faces], pa.string()),
        SUBJECT: pa.array([face["subject"] for face in faces], pa.string()),
        TAGS: pa.array([face["tags"] for face in faces], pa.list_(pa.string())),
        ENROLLED_AT: pa.array([datetime.fromisoformat(face["enrolled_at"]) for face in faces], INSTANT),
        METADATA: pa.array([orjson.dumps(face["metadata"]).decode() for face in faces], pa.string()),
        SUBJECT_METADATA: pa.array([orjson.dumps(face["subject_metadata"]).decode() for face in faces], pa.string()),
        FEATURE: feature_array(features),
    }
    return pa.table(columns, metadata={SPACE_KEY: space.encode()})


def _features(encoded: Sequence[str]) -> Features:
    packed = [base64.b64decode(text) for text in encoded]
    return unpack_float32(b"".join(packed), len(packed[0]) // FLOAT32_BYTES)


def _save(folder: Path, state: State) -> None:
    write_text(folder / STATE_FILE, state.model_dump_json() + "\n")
