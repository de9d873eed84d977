"""The approximate searches of copies on disk. For the writer thread."""

import sqlite3
from collections.abc import Iterator

from contract.spaces import FeatureSpace
from contract.vectors import pack_float32
from service.errors import CopiesChangedError
from service.galleries.embedded.database import erase_deleted
from service.galleries.embedded.memory import MemoryCopy, MemoryGallery
from service.galleries.refusals import COPY_DROPPED
from service.galleries.values import Approximation

COLUMNS = "built_at_ms, faces, probes, recall_at_1, recall_at_10"


def keep(
    connection: sqlite3.Connection, gallery: MemoryGallery, copy: MemoryCopy, approximation: Approximation
) -> Approximation:
    """Let a copy be searched by its sketch from now on. Raises CopiesChangedError: it is gone."""
    basis = copy.features.basis
    if copy not in gallery.copies.values() or basis is None:
        raise CopiesChangedError(COPY_DROPPED)
    a = approximation
    row = (copy.keys.copy, pack_float32(basis), a.built_at_ms, a.faces, a.probes, a.recall_at_1, a.recall_at_10)
    with connection:
        connection.execute(f"INSERT INTO approximations (copy, basis, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608
    with gallery.lock.write():
        copy.approximation = approximation
    return approximation


def forget(connection: sqlite3.Connection, gallery: MemoryGallery, space: FeatureSpace) -> None:
    """Leave a copy without a sketch. Raises GallerySpaceMismatchError."""
    copy = gallery.searched(space)
    with connection:
        connection.execute("DELETE FROM approximations WHERE copy = ?", (copy.keys.copy,))
    with gallery.lock.write():
        copy.approximation = None
        copy.features.keep_sketch(None)
    erase_deleted(connection)


def read_approximations(connection: sqlite3.Connection) -> Iterator[tuple[int, bytes, Approximation]]:
    """Every copy's key that has one, the basis as it is kept, and the approximation."""
    for copy, basis, *measured in connection.execute(f"SELECT copy, basis, {COLUMNS} FROM approximations"):  # noqa: S608
        yield copy, basis, Approximation(*measured)
