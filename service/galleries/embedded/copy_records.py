"""Galleries and their copies on disk: create, begin and drop a copy, let it serve, find and fill what is missing."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from itertools import islice

from contract.spaces import FeatureSpace
from service.galleries.base import Original, Rendition
from service.galleries.embedded.database import SLOTS_MAX, key_of_space, number_of
from service.galleries.embedded.face_records import SELECT_ORIGINALS, insert_features, originals_of

MISSING = "NOT EXISTS (SELECT 1 FROM features AS h WHERE h.face = f.number AND h.space = ? AND h.held)"


def create_gallery(connection: sqlite3.Connection, name: str, space: FeatureSpace) -> tuple[int, int]:
    """Add a gallery with one copy; returns its key and that of the space."""
    with connection:
        space_key = key_of_space(connection, space)
        row = connection.execute(
            "INSERT INTO galleries (name, serving) VALUES (?, ?) RETURNING key", (name, space_key)
        ).fetchone()
        connection.execute("INSERT INTO copies (gallery, space) VALUES (?, ?)", (row[0], space_key))
    return row[0], space_key


def drop_gallery(connection: sqlite3.Connection, gallery: int) -> None:
    """Delete a gallery with all faces and copies."""
    with connection:
        connection.execute("DELETE FROM galleries WHERE key = ?", (gallery,))


def add_copy(connection: sqlite3.Connection, gallery: int, space: FeatureSpace) -> int:
    """Begin an empty copy; returns the key of its space."""
    with connection:
        space_key = key_of_space(connection, space)
        connection.execute("INSERT INTO copies (gallery, space) VALUES (?, ?)", (gallery, space_key))
    return space_key


def drop_copy(connection: sqlite3.Connection, gallery: int, space_key: int) -> None:
    """Delete a copy with its features, except for originals."""
    numbers = (space_key, number_of(gallery, 0), number_of(gallery, SLOTS_MAX) - 1)
    in_copy = "space = ? AND face BETWEEN ? AND ?"
    is_original = "EXISTS (SELECT 1 FROM faces WHERE number = features.face AND origin = features.space)"
    with connection:
        connection.execute("DELETE FROM copies WHERE gallery = ? AND space = ?", (gallery, space_key))
        connection.execute(f"DELETE FROM features WHERE {in_copy} AND NOT {is_original}", numbers)  # noqa: S608
        connection.execute(f"UPDATE features SET held = 0 WHERE {in_copy}", numbers)  # noqa: S608


def serve(connection: sqlite3.Connection, gallery: int, space_key: int) -> None:
    """Let a copy serve."""
    with connection:
        connection.execute("UPDATE galleries SET serving = ? WHERE key = ?", (space_key, gallery))


def count_origins(connection: sqlite3.Connection, gallery: int) -> dict[str, int]:
    """How many faces were enrolled in each space."""
    return dict(
        connection.execute(
            "SELECT p.id, count(*) FROM faces AS f JOIN spaces AS p ON p.key = f.origin"
            " WHERE f.gallery = ? GROUP BY p.id ORDER BY p.id",
            (gallery,),
        )
    )


def missing_originals(
    connection: sqlite3.Connection, gallery: int, space_key: int, *, start: str, besides: Collection[str], limit: int
) -> list[Original]:
    """The next faces by id, from `start` on and not `besides`, that are missing in a copy."""
    rows = connection.execute(
        f"{SELECT_ORIGINALS} WHERE f.gallery = ? AND f.face_id >= ? AND {MISSING} ORDER BY f.face_id",
        (gallery, start, space_key),
    )
    found = originals_of(connection, rows)
    return list(islice((original for original in found if original.face.face_id not in besides), limit))


def fillable(
    connection: sqlite3.Connection, gallery: int, space_key: int, originals: Sequence[Original]
) -> dict[int, int]:
    """Of N originals those still enrolled as they were and missing in a copy: places among the N, and numbers."""
    query = (
        "SELECT f.face_id, f.revision, f.number FROM faces AS f"  # noqa: S608
        f" WHERE f.gallery = ? AND f.face_id IN (SELECT value FROM json_each(?)) AND {MISSING}"
    )
    face_ids = [original.face.face_id for original in originals]
    rows = connection.execute(query, (gallery, json.dumps(face_ids), space_key))
    numbers = {(face_id, revision): number for face_id, revision, number in rows}
    keys = [(original.face.face_id, original.revision) for original in originals]
    return {place: numbers[key] for place, key in enumerate(keys) if key in numbers}


def fill(
    connection: sqlite3.Connection,
    space_key: int,
    translated: Sequence[tuple[Sequence[int], Rendition]],
    native: Sequence[int],
) -> None:
    """Put translations of numbered faces into a copy, and the originals that are of its space."""
    with connection:
        for numbers, rendition in translated:
            insert_features(connection, numbers, space_key, rendition, held=True)
        connection.executemany(
            "UPDATE features SET held = 1 WHERE face = ? AND space = ?", [(number, space_key) for number in native]
        )
