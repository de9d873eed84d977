"""The embedded gallery store: SQLite on disk keeps, numpy in memory searches. One process a directory."""

import asyncio
import fcntl
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, ParamSpec, Self, TypeVar

from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.errors import (
    GalleryLimitError,
    GallerySpaceMismatchError,
    GalleryUnavailableError,
    UnknownFaceError,
    UnknownGalleryError,
    UnknownSubjectError,
)
from service.galleries.base import Face, FaceBatch, GalleryInfo, Matches, check_space
from service.galleries.database import FaceDatabase
from service.galleries.matrix import PROBES_PER_SCAN, FaceMatrix
from service.galleries.read_write_lock import ReadWriteLock

DATABASE_FILE = "galleries.sqlite"
LOCK_FILE = "lock"
SEARCH_THREADS = 2  # BLAS has threads of its own; more only shares one memory bandwidth
STREAM_ROWS = 1000

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Gallery:
    name: str
    key: int
    space: FeatureSpace
    faces: FaceMatrix
    lock: ReadWriteLock = field(default_factory=ReadWriteLock)

    def info(self) -> GalleryInfo:
        return GalleryInfo(self.name, self.space, len(self.faces), self.faces.subjects)


class LocalGalleries:
    """Exact search over galleries that fit in memory: 4 d + about 300 bytes a face (see `GalleryStore`).

    A write is committed to disk, then shown to searches, then acknowledged. Writes run one after the other in one
    thread, searches in two; what waits for a thread is bounded by the gateway's requests in flight.
    """

    name = "local"

    def __init__(self, lock_file: IO[bytes], database: FaceDatabase, *, faces_max: int, galleries_max: int) -> None:
        self._lock_file = lock_file
        self._database = database
        self._faces_max = faces_max
        self._galleries_max = galleries_max
        self._galleries: dict[str, _Gallery] = {}  # changed by the writer thread alone
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="gallery-writer")
        self._readers = ThreadPoolExecutor(SEARCH_THREADS, thread_name_prefix="gallery-reader")
        self._closed = False

    @classmethod
    def open(cls, directory: Path, *, faces_max: int, galleries_max: int) -> Self:
        """Load every gallery of a directory, made if missing. Blocks: for start-up. `faces_max` bounds one gallery.

        Raises:
            GalleryUnavailableError: another process has the directory open, or it cannot be read.
        """
        try:
            with ExitStack() as undo:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock_file = undo.enter_context((directory / LOCK_FILE).open("ab"))
                fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                database = undo.enter_context(closing(FaceDatabase(directory / DATABASE_FILE)))
                store = cls(lock_file, database, faces_max=faces_max, galleries_max=galleries_max)
                store._load()
                undo.pop_all()
        except BlockingIOError as error:
            raise GalleryUnavailableError("the gallery directory is open in another process") from error
        except OSError as error:
            raise GalleryUnavailableError(f"the gallery directory cannot be used: {error.strerror}") from error
        except (sqlite3.Error, ValueError) as error:
            raise GalleryUnavailableError(f"{DATABASE_FILE} cannot be read: {error}") from error
        return store

    async def create(self, gallery: str, space: FeatureSpace) -> bool:
        """Create a gallery; False if it exists in the same space."""
        return await self._write(self._create, gallery, space)

    async def info(self, gallery: str) -> GalleryInfo:
        """Describe a gallery."""
        return self._find(gallery).info()

    async def list(self) -> list[GalleryInfo]:
        """All galleries, by name."""
        return [self._galleries[name].info() for name in sorted(self._galleries)]

    async def drop(self, gallery: str) -> None:
        """Delete a gallery with all faces."""
        await self._write(self._drop, gallery)

    async def upsert(
        self, gallery: str, faces: Sequence[Face], features: Features, space: FeatureSpace | None = None
    ) -> int:
        """Enrol or replace faces, all or none; returns how many were new."""
        return await self._write(self._upsert, gallery, faces, features, space)

    async def get(self, gallery: str, face_id: str) -> Face:
        """Read one face."""
        found = self._find(gallery)
        return await self._read(found, lambda: _enrolled(found, face_id))

    async def delete_face(self, gallery: str, face_id: str) -> None:
        """Delete one face."""
        await self._write(self._delete_face, gallery, face_id)

    async def delete_subject(self, gallery: str, subject: str) -> int:
        """Delete all faces of a subject; returns how many."""
        return await self._write(self._delete_subject, gallery, subject)

    async def search(self, gallery: str, features: Features, top_k: int, space: FeatureSpace | None = None) -> Matches:
        """The top_k faces of each probe [N, d]. One scan at a time, so that giving up ends it, and writes get in."""
        found = self._find(gallery)
        check_space(found.space, features, space)
        matches: Matches = []
        for start in range(0, len(features), PROBES_PER_SCAN):
            probes = features[start : start + PROBES_PER_SCAN]
            matches += await self._read(found, found.faces.search, probes, top_k)
        return matches

    async def faces(self, gallery: str) -> AsyncIterator[FaceBatch]:
        """All faces by face_id, 1,000 at a time; a face deleted meanwhile is left out."""
        found = self._find(gallery)
        face_ids = await self._read(found, found.faces.face_ids)
        for start in range(0, len(face_ids), STREAM_ROWS):
            batch = await self._read(found, found.faces.read, face_ids[start : start + STREAM_ROWS])
            if batch[0]:
                yield batch

    async def ready(self) -> bool:
        """True until closed: everything is in memory."""
        return not self._closed

    async def close(self) -> None:
        """Finish what is under way and release the directory."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._shut_down)

    def _load(self) -> None:
        for key, name, space in self._database.galleries():
            self._galleries[name] = _Gallery(name, key, space, FaceMatrix(space.dim))
        for gallery in self._galleries.values():
            for faces, features in self._database.faces(gallery.key, gallery.space.dim):
                gallery.faces.put(faces, features)

    def _shut_down(self) -> None:
        self._readers.shutdown()
        self._writer.shutdown()
        self._database.close()
        self._lock_file.close()

    def _find(self, gallery: str) -> _Gallery:
        found = self._galleries.get(gallery)
        if found is None:
            raise UnknownGalleryError("no such gallery")
        return found

    async def _write(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._run(self._writer, lambda: function(*args, **kwargs))

    async def _read(self, gallery: _Gallery, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        def run() -> R:
            with gallery.lock.read():
                return function(*args, **kwargs)

        return await self._run(self._readers, run)

    async def _run(self, threads: ThreadPoolExecutor, function: Callable[[], R]) -> R:
        if self._closed:
            raise GalleryUnavailableError("the gallery store is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, function)
        except sqlite3.Error as error:
            raise GalleryUnavailableError("the gallery store could not write") from error

    # What follows runs in the writer thread.

    def _create(self, name: str, space: FeatureSpace) -> bool:
        existing = self._galleries.get(name)
        if existing is not None:
            if existing.space != space:
                raise GallerySpaceMismatchError(f"the gallery holds the feature space {existing.space.id}")
            return False
        if len(self._galleries) >= self._galleries_max:
            raise GalleryLimitError(f"at most {self._galleries_max} galleries can be held")
        self._galleries[name] = _Gallery(name, self._database.create(name, space), space, FaceMatrix(space.dim))
        return True

    def _drop(self, name: str) -> None:
        self._database.drop(self._find(name).key)
        del self._galleries[name]
        self._database.erase_deleted()

    def _upsert(self, name: str, faces: Sequence[Face], features: Features, space: FeatureSpace | None) -> int:
        gallery = self._find(name)
        check_space(gallery.space, features, space)
        new = len({face.face_id for face in faces if gallery.faces.face(face.face_id) is None})
        if len(gallery.faces) + new > self._faces_max:
            raise GalleryLimitError(f"a gallery holds at most {self._faces_max} faces")
        self._database.upsert(gallery.key, faces, features)
        with gallery.lock.write():
            gallery.faces.put(faces, features)
        if new < len(faces):  # some were replaced; new faces leave nothing to erase and need not wait for it
            self._database.erase_deleted()
        return new

    def _delete_face(self, name: str, face_id: str) -> None:
        gallery = self._find(name)
        _enrolled(gallery, face_id)
        self._database.delete_face(gallery.key, face_id)
        with gallery.lock.write():
            gallery.faces.remove(face_id)
        self._database.erase_deleted()

    def _delete_subject(self, name: str, subject: str) -> int:
        gallery = self._find(name)
        face_ids = self._database.delete_subject(gallery.key, subject)
        if not face_ids:
            raise UnknownSubjectError("no such subject in the gallery")
        with gallery.lock.write():
            for face_id in face_ids:
                gallery.faces.remove(face_id)
        self._database.erase_deleted()
        return len(face_ids)


def _enrolled(gallery: _Gallery, face_id: str) -> Face:
    face = gallery.faces.face(face_id)
    if face is None:
        raise UnknownFaceError("no such face in the gallery")
    return face
