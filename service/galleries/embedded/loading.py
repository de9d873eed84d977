"""Galleries from disk into memory, in bounded batches, each table read once from end to end."""

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from contract.vectors import unpack_float32
from service.galleries.embedded.approximations import read_approximations
from service.galleries.embedded.claims import Clock
from service.galleries.embedded.copies import empty_copy
from service.galleries.embedded.copy_records import CopyKeys
from service.galleries.embedded.database import SLOT_BITS, spaces_by_key
from service.galleries.embedded.enrolment import slots_of
from service.galleries.embedded.erasure import erase_what_is_left
from service.galleries.embedded.memory import MemoryCopy, MemoryGallery

LOAD_ROWS = 1024

Rows = list[tuple[Any, ...]]


def load(connection: sqlite3.Connection, clock: Clock) -> dict[str, MemoryGallery]:
    """Every gallery, by name. Raises sqlite3.Error, or ValueError if a feature is not as long as its space says."""
    erase_what_is_left(connection)
    spaces = spaces_by_key(connection)
    galleries = {
        key: MemoryGallery(name, key, incarnation, spaces[serving], {})
        for key, name, incarnation, serving in connection.execute(
            "SELECT key, name, incarnation, serving FROM galleries"
        )
    }
    copies: dict[int, MemoryCopy] = {}
    for key, gallery_key, space_key in connection.execute("SELECT key, gallery, space FROM copies"):
        copies[key] = empty_copy(CopyKeys(key, space_key), spaces[space_key], clock)
        galleries[gallery_key].copies[spaces[space_key]] = copies[key]
    for key, packed, approximation in read_approximations(connection):
        features = copies[key].features
        features.keep_sketch(unpack_float32(packed, features.dim))
        copies[key].approximation = approximation
    _load_subjects(connection, galleries)
    _load_faces(connection, galleries)
    _load_features(connection, copies)
    return {gallery.name: gallery for gallery in galleries.values()}


def _load_subjects(connection: sqlite3.Connection, galleries: dict[int, MemoryGallery]) -> None:
    for key, rows in _batches(connection.execute("SELECT number, subject FROM subjects ORDER BY number")):
        numbers, names = zip(*rows, strict=True)
        galleries[key].roster.put_subjects(slots_of(numbers), names)
        galleries[key].roster.subjects.take_in_order(slots_of(numbers))


def _load_faces(connection: sqlite3.Connection, galleries: dict[int, MemoryGallery]) -> None:
    cursor = connection.execute("SELECT number, face_id, subject, tags, enrolled_at_ms FROM faces ORDER BY number")
    for key, rows in _batches(cursor):
        numbers, face_ids, subjects, tags, times_ms = zip(*rows, strict=True)
        galleries[key].roster.put(slots_of(numbers), face_ids, slots_of(subjects), tags, times_ms)
        galleries[key].roster.faces.take_in_order(slots_of(numbers))


def _load_features(connection: sqlite3.Connection, copies: dict[int, MemoryCopy]) -> None:
    # In the order of the file, so that it is read once.
    cursor = connection.execute("SELECT face, copy, translator, feature FROM features WHERE copy IS NOT NULL")
    for _, rows in _batches(cursor):
        for (key, translator), group in groupby(sorted(rows, key=_copy_and_maker), _copy_and_maker):
            numbers, _, _, packed = zip(*group, strict=True)
            features = copies[key].features
            features.put(slots_of(numbers), unpack_float32(b"".join(packed), features.dim), translator or None)


def _batches(cursor: sqlite3.Cursor) -> Iterator[tuple[int, Rows]]:
    """Rows of one gallery each, by the number they begin with."""
    while rows := cursor.fetchmany(LOAD_ROWS):
        rows.sort(key=_gallery_of)
        for key, group in groupby(rows, _gallery_of):
            yield key, list(group)


def _copy_and_maker(row: tuple[Any, ...]) -> tuple[int, str]:
    _, copy, translator, _ = row
    return copy, translator or ""


def _gallery_of(row: tuple[Any, ...]) -> int:
    number: int = row[0]
    return number >> SLOT_BITS
