"""Faces and subjects on disk: read one, read the next originals, enrol, delete."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson

from contract.vectors import FLOAT32_BYTES, Features, pack_float32, unpack_float32
from service.errors import UnknownFaceError, UnknownSubjectError
from service.galleries.embedded.database import key_of_space, spaces_by_key
from service.galleries.refusals import NO_FACE, NO_SUBJECT
from service.galleries.values import Face, FaceRecord, HeldRendition, Original, Rendition, SubjectRecord

SELECT_ORIGINALS = (
    "SELECT f.face_id, s.subject, f.tags, f.enrolled_at_ms, f.metadata, nullif(s.metadata, '{}'), f.origin, f.revision,"
    " x.feature"
    " FROM faces AS f JOIN subjects AS s ON s.number = f.subject"
    " JOIN features AS x ON x.face = f.number AND x.space = f.origin"
)
LIVE_COPIES = "(SELECT key FROM copies WHERE NOT dropped)"
INSERT_FACE = (
    "INSERT INTO faces (number, gallery, face_id, subject, tags, enrolled_at_ms, metadata, origin, revision)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET subject = excluded.subject,"
    " tags = excluded.tags, enrolled_at_ms = excluded.enrolled_at_ms, metadata = excluded.metadata,"
    " origin = excluded.origin, revision = excluded.revision"
)
INSERT_FEATURE = (
    "INSERT OR REPLACE INTO features (face, space, copy, translator, confidence, feature) VALUES (?, ?, ?, ?, ?, ?)"
)
# A new enrolment replaces the original and all features made of it: the face is missing in a copy that is given none.
DELETE_REPLACED = "DELETE FROM features WHERE face = ?"
DELETE_FACELESS = (
    "DELETE FROM subjects WHERE number IN (SELECT value FROM json_each(?))"
    " AND NOT EXISTS (SELECT 1 FROM faces WHERE faces.subject = subjects.number) RETURNING number"
)


@dataclass(frozen=True, slots=True)
class Replaced:
    """A face that is there already, and the subject it had."""

    number: int
    subject_number: int


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Faces [N] as they are written: numbered, their subjects too."""

    faces: Sequence[Face]
    numbers: Sequence[int]
    subject_numbers: Sequence[int]
    new_subjects: dict[str, int]
    replaced: dict[str, Replaced]  # by face_id
    original: Rendition
    held: dict[int, Rendition]  # by the copy's key; the original is among them if there is a copy in its space


def tags_text(face: Face) -> str:
    """The tags of a face as they are kept."""
    return _json(face.tags)


def known_faces(connection: sqlite3.Connection, gallery: int, face_ids: Sequence[str]) -> dict[str, Replaced]:
    """Those of these faces that are enrolled."""
    rows = connection.execute(
        "SELECT face_id, number, subject FROM faces WHERE gallery = ? AND face_id IN (SELECT value FROM json_each(?))",
        (gallery, _json(face_ids)),
    )
    return {face_id: Replaced(number, subject) for face_id, number, subject in rows}


def known_subjects(connection: sqlite3.Connection, gallery: int, subjects: Sequence[str]) -> dict[str, int]:
    """The numbers of those of these subjects that have a face."""
    return dict(
        connection.execute(
            "SELECT subject, number FROM subjects WHERE gallery = ? AND subject IN (SELECT value FROM json_each(?))",
            (gallery, _json(subjects)),
        )
    )


def enrol(connection: sqlite3.Connection, gallery: int, enrolment: Enrolment) -> list[int]:
    """Write faces with their features, all or none; returns the numbers of subjects that lost their last face."""
    with connection:
        connection.execute("UPDATE revisions SET last = last + 1")
        (revision,) = connection.execute("SELECT last FROM revisions").fetchone()
        origin = key_of_space(connection, enrolment.original.space)
        held = [(copy, key_of_space(connection, given.space), given) for copy, given in enrolment.held.items()]
        connection.executemany(
            "INSERT INTO subjects (number, gallery, subject) VALUES (?, ?, ?)",
            [(number, gallery, subject) for subject, number in enrolment.new_subjects.items()],
        )
        connection.executemany(DELETE_REPLACED, [(replaced.number,) for replaced in enrolment.replaced.values()])
        connection.executemany(
            INSERT_FACE,
            [
                (n, gallery, f.face_id, s, tags_text(f), f.enrolled_at_ms, f.metadata, origin, revision)
                for f, n, s in zip(enrolment.faces, enrolment.numbers, enrolment.subject_numbers, strict=True)
            ],
        )
        connection.executemany(
            "UPDATE subjects SET metadata = ? WHERE number = ?",
            [
                (face.subject_metadata, number)
                for face, number in zip(enrolment.faces, enrolment.subject_numbers, strict=True)
                if face.subject_metadata is not None
            ],
        )
        if origin not in [space for _, space, _ in held]:
            insert_features(connection, enrolment.numbers, origin, None, enrolment.original)
        for copy, space, rendition in held:
            insert_features(connection, enrolment.numbers, space, copy, rendition)
        return delete_faceless(connection, [replaced.subject_number for replaced in enrolment.replaced.values()])


def insert_features(
    connection: sqlite3.Connection, numbers: Sequence[int], space: int, copy: int | None, rendition: Rendition
) -> None:
    """Add the features of faces [N] in one space to a copy or to none, inside a transaction."""
    confidence = [None] * len(numbers) if rendition.confidence is None else rendition.confidence.tolist()
    connection.executemany(
        INSERT_FEATURE,
        (
            (number, space, copy, rendition.translator, trust, feature)
            for number, trust, feature in zip(numbers, confidence, _packed_rows(rendition.features), strict=True)
        ),
    )


def delete_face(connection: sqlite3.Connection, gallery: int, face_id: str) -> tuple[int, list[int]]:
    """Delete one face; returns its number, and its subject's if that lost its last face. Raises UnknownFaceError."""
    with connection:
        row = connection.execute(
            "DELETE FROM faces WHERE gallery = ? AND face_id = ? RETURNING number, subject", (gallery, face_id)
        ).fetchone()
        if row is None:
            raise UnknownFaceError(NO_FACE)
        return row[0], delete_faceless(connection, [row[1]])


def delete_subject(connection: sqlite3.Connection, gallery: int, subject: str) -> tuple[list[int], int]:
    """Delete a subject; returns the numbers of its faces and its own. Raises UnknownSubjectError."""
    number = known_subjects(connection, gallery, [subject]).get(subject)
    if number is None:
        raise UnknownSubjectError(NO_SUBJECT)
    with connection:
        rows = connection.execute("DELETE FROM faces WHERE subject = ? RETURNING number", (number,)).fetchall()
        connection.execute("DELETE FROM subjects WHERE number = ?", (number,))
    return [row[0] for row in rows], number


def delete_faceless(connection: sqlite3.Connection, subjects: Sequence[int]) -> list[int]:
    """Delete those of these subjects that have no face, inside a transaction; returns their numbers."""
    return [row[0] for row in connection.execute(DELETE_FACELESS, (_json(subjects),)).fetchall()]


def read_face(connection: sqlite3.Connection, gallery: int, face_id: str) -> FaceRecord:
    """All that is known of one face. Raises UnknownFaceError."""
    row = connection.execute(
        "SELECT s.subject, f.tags, f.enrolled_at_ms, f.metadata, p.id, f.number"
        " FROM faces AS f JOIN subjects AS s ON s.number = f.subject JOIN spaces AS p ON p.key = f.origin"
        " WHERE f.gallery = ? AND f.face_id = ?",
        (gallery, face_id),
    ).fetchone()
    if row is None:
        raise UnknownFaceError(NO_FACE)
    subject, tags, enrolled_at_ms, metadata, origin, number = row
    held = connection.execute(
        "SELECT p.id, x.translator, x.confidence FROM features AS x JOIN spaces AS p ON p.key = x.space"  # noqa: S608
        f" WHERE x.face = ? AND x.copy IN {LIVE_COPIES} ORDER BY p.id",
        (number,),
    )
    face = Face(face_id, subject, tuple(orjson.loads(tags)), enrolled_at_ms, metadata)
    return FaceRecord(face, origin, tuple(HeldRendition(*rendition) for rendition in held))


def read_subject(connection: sqlite3.Connection, gallery: int, subject: str) -> SubjectRecord:
    """All that is known of one subject. Raises UnknownSubjectError."""
    row = connection.execute(
        "SELECT number, metadata FROM subjects WHERE gallery = ? AND subject = ?", (gallery, subject)
    ).fetchone()
    if row is None:
        raise UnknownSubjectError(NO_SUBJECT)
    faces = connection.execute("SELECT face_id FROM faces WHERE subject = ? ORDER BY face_id", (row[0],))
    return SubjectRecord(subject, tuple(face_id for (face_id,) in faces), row[1])


def describe_subject(connection: sqlite3.Connection, gallery: int, subject: str, metadata: str) -> None:
    """Keep JSON text with a subject. Raises UnknownSubjectError."""
    with connection:
        changed = connection.execute(
            "UPDATE subjects SET metadata = ? WHERE gallery = ? AND subject = ?", (metadata, gallery, subject)
        )
        if not changed.rowcount:
            raise UnknownSubjectError(NO_SUBJECT)


def read_originals(connection: sqlite3.Connection, gallery: int, after: str | None, limit: int) -> list[Original]:
    """The next faces by id with their original, at most `limit`."""
    rows = connection.execute(
        f"{SELECT_ORIGINALS} WHERE f.gallery = ? AND f.face_id > ? ORDER BY f.face_id LIMIT ?",
        (gallery, after or "", limit),
    )
    return list(originals_of(connection, rows))


def originals_of(connection: sqlite3.Connection, rows: sqlite3.Cursor) -> Iterator[Original]:
    """What SELECT_ORIGINALS found."""
    spaces = spaces_by_key(connection)
    for face_id, subject, tags, enrolled_at_ms, metadata, subject_metadata, origin, revision, feature in rows:
        face = Face(face_id, subject, tuple(orjson.loads(tags)), enrolled_at_ms, metadata, subject_metadata)
        space = spaces[origin]
        yield Original(face, space, unpack_float32(feature, space.dim)[0], revision)


def _packed_rows(features: Features) -> Iterator[bytes]:
    packed, width = pack_float32(features), features.shape[1] * FLOAT32_BYTES
    return (packed[start : start + width] for start in range(0, len(packed), width))


def _json(values: Sequence[str] | Sequence[int]) -> str:
    return orjson.dumps(values).decode()
