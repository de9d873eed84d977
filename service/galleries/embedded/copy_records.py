"""Galleries and their copies on disk: create, begin and drop a copy, let it serve, find and fill what is missing."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice

from contract.spaces import FeatureSpace
from service.galleries.embedded.database import key_of_space
from service.galleries.embedded.face_records import SELECT_ORIGINALS, insert_features, originals_of
from service.galleries.values import Original, Rendition

MISSING = "NOT EXISTS (SELECT 1 FROM features AS h WHERE h.face = f.number AND h.space = ? AND h.copy = ?)"


@dataclass(frozen=True, slots=True)
class CopyKeys:
    """How a copy and its feature space are told on disk."""

    copy: int
    space: int


def create_gallery(
    connection: sqlite3.Connection, name: str, incarnation: str, space: FeatureSpace
) -> tuple[int, CopyKeys]:
    """Add a gallery with one copy; returns its key and the copy's."""
    with connection:
        space_key = key_of_space(connection, space)
        row = connection.execute(
            "INSERT INTO galleries (name, incarnation, serving) VALUES (?, ?, ?) RETURNING key",
            (name, incarnation, space_key),
        ).fetchone()
        return row[0], _insert_copy(connection, row[0], space_key)


def drop_gallery(connection: sqlite3.Connection, gallery: int) -> None:
    """Say that a gallery is no more; what it held is still to be erased."""
    with connection:
        connection.execute("UPDATE galleries SET name = NULL WHERE key = ?", (gallery,))


def add_copy(connection: sqlite3.Connection, gallery: int, space: FeatureSpace) -> CopyKeys:
    """Begin an empty copy."""
    with connection:
        return _insert_copy(connection, gallery, key_of_space(connection, space))


def drop_copy(connection: sqlite3.Connection, copy: int) -> None:
    """Say that a copy is no more; its features are still to be erased."""
    with connection:
        connection.execute("UPDATE copies SET dropped = 1 WHERE key = ?", (copy,))


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
    connection: sqlite3.Connection, gallery: int, keys: CopyKeys, *, start: str, besides: Collection[str], limit: int
) -> list[Original]:
    """The next faces by id, from `start` on and not `besides`, that are missing in a copy."""
    rows = connection.execute(
        f"{SELECT_ORIGINALS} WHERE f.gallery = ? AND f.face_id >= ? AND {MISSING} ORDER BY f.face_id",
        (gallery, start, keys.space, keys.copy),
    )
    found = originals_of(connection, rows)
    return list(islice((original for original in found if original.face.face_id not in besides), limit))


def fillable(
    connection: sqlite3.Connection, gallery: int, keys: CopyKeys, originals: Sequence[Original]
) -> dict[int, int]:
    """Of N originals those still enrolled as they were and missing in a copy: places among the N, and numbers."""
    query = (
        "SELECT f.face_id, f.revision, f.number FROM faces AS f"  # noqa: S608
        f" WHERE f.gallery = ? AND f.face_id IN (SELECT value FROM json_each(?)) AND {MISSING}"
    )
    face_ids = [original.face.face_id for original in originals]
    rows = connection.execute(query, (gallery, json.dumps(face_ids), keys.space, keys.copy))
    numbers = {(face_id, revision): number for face_id, revision, number in rows}
    wanted = [(original.face.face_id, original.revision) for original in originals]
    return {place: numbers[key] for place, key in enumerate(wanted) if key in numbers}


def fill(
    connection: sqlite3.Connection,
    keys: CopyKeys,
    translated: Sequence[tuple[Sequence[int], Rendition]],
    native: Sequence[int],
) -> None:
    """Put translations of numbered faces into a copy, and the originals that are of its space."""
    with connection:
        for numbers, rendition in translated:
            insert_features(connection, numbers, keys.space, keys.copy, rendition)
        connection.executemany(
            "UPDATE features SET copy = ? WHERE face = ? AND space = ?",
            [(keys.copy, number, keys.space) for number in native],
        )


def _insert_copy(connection: sqlite3.Connection, gallery: int, space: int) -> CopyKeys:
    row = connection.execute(
        "INSERT INTO copies (gallery, space) VALUES (?, ?) RETURNING key", (gallery, space)
    ).fetchone()
    return CopyKeys(row[0], space)
