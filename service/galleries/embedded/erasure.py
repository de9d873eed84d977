"""What was dropped, erased from disk: one bounded transaction a step, so that other writes get in between."""

import sqlite3
from collections.abc import Iterator

from service.galleries.embedded.database import erase_deleted, number_of

STEP_SLOTS = 8192  # of faces or subjects

Steps = Iterator[None]


def erase_gallery(connection: sqlite3.Connection, gallery: int) -> Steps:
    """Erase all that a dropped gallery held."""
    for table in ("faces", "subjects"):  # in this order: a face names its subject, and its features go with it
        while _erase_rows(connection, table, gallery):
            yield
    with connection:
        connection.execute("DELETE FROM galleries WHERE key = ? AND name IS NULL", (gallery,))
    erase_deleted(connection)


def erase_copy(connection: sqlite3.Connection, gallery: int, copy: int) -> Steps:
    """Erase the features of a dropped copy, but no original."""
    slot = 0
    while _has_faces_from(connection, gallery, slot):
        _erase_features(connection, number_of(gallery, slot), number_of(gallery, slot + STEP_SLOTS), copy)
        yield
        slot += STEP_SLOTS
    with connection:
        connection.execute("DELETE FROM copies WHERE key = ?", (copy,))
    erase_deleted(connection)


def take_step(steps: Steps) -> bool:
    """Take the next step; False when all is done."""
    return next(steps, True) is None


def erase_what_is_left(connection: sqlite3.Connection) -> None:
    """Erase what an interruption has left of dropped galleries and copies."""
    galleries = connection.execute("SELECT key FROM galleries WHERE name IS NULL").fetchall()
    copies = connection.execute("SELECT gallery, key FROM copies WHERE dropped").fetchall()
    for steps in (
        *(erase_gallery(connection, gallery) for (gallery,) in galleries),
        *(erase_copy(connection, gallery, copy) for gallery, copy in copies),
    ):
        while take_step(steps):
            pass


def _erase_rows(connection: sqlite3.Connection, table: str, gallery: int) -> bool:
    some = f"SELECT number FROM {table} WHERE number >= ? AND number < ? LIMIT {STEP_SLOTS}"  # noqa: S608
    numbers = (number_of(gallery, 0), number_of(gallery + 1, 0))
    with connection:
        erased = connection.execute(f"DELETE FROM {table} WHERE number IN ({some})", numbers).rowcount  # noqa: S608
    if erased:
        erase_deleted(connection)
    return erased > 0


def _has_faces_from(connection: sqlite3.Connection, gallery: int, slot: int) -> bool:
    numbers = (number_of(gallery, slot), number_of(gallery + 1, 0))
    query = "SELECT 1 FROM faces WHERE number >= ? AND number < ? LIMIT 1"
    return connection.execute(query, numbers).fetchone() is not None


def _erase_features(connection: sqlite3.Connection, first: int, after: int, copy: int) -> None:
    in_copy = "face >= ? AND face < ? AND copy = ?"
    is_original = "EXISTS (SELECT 1 FROM faces WHERE number = features.face AND origin = features.space)"
    with connection:
        connection.execute(
            f"DELETE FROM features WHERE {in_copy} AND NOT {is_original}",  # noqa: S608
            (first, after, copy),
        )
        connection.execute(f"UPDATE features SET copy = NULL WHERE {in_copy}", (first, after, copy))  # noqa: S608
    erase_deleted(connection)
