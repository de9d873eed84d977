"""Writes of faces: to disk first, then to memory. For the writer thread."""

import sqlite3
from collections.abc import Iterable, Sequence

import numpy as np

from service.errors import CopiesChangedError
from service.galleries.embedded import face_records
from service.galleries.embedded.columns import SlotArray
from service.galleries.embedded.database import SLOTS_MAX, erase_deleted, number_of
from service.galleries.embedded.face_records import Enrolment
from service.galleries.embedded.memory import MemoryGallery
from service.galleries.refusals import COPIES_CHANGED, too_many_faces
from service.galleries.values import Face, Rendition


def upsert(
    connection: sqlite3.Connection,
    gallery: MemoryGallery,
    faces: Sequence[Face],
    original: Rendition,
    translated: Sequence[Rendition],
    faces_max: int,
) -> list[bool]:
    """Enrol or replace faces [N]; of a face that is given twice the last holds; returns which [N] were new."""
    held = _held(gallery, original, translated)
    face_ids = [face.face_id for face in faces]
    last = sorted({face.face_id: row for row, face in enumerate(faces)}.values())
    if len(last) < len(faces):
        faces, original = [faces[row] for row in last], rows_of(original, last)
        held = _held(gallery, original, [rows_of(rendition, last) for rendition in translated])
    enrolment = _plan(connection, gallery, faces, original, held)
    new = len(faces) - len(enrolment.replaced)
    if len(gallery.roster.faces) + new > faces_max:
        raise too_many_faces(faces_max)
    faceless = face_records.enrol(connection, gallery.key, enrolment)
    with gallery.lock.write():
        _show(gallery, enrolment, new, faceless)
    if enrolment.replaced:  # new faces leave nothing to erase and need not wait for it
        erase_deleted(connection)
    return _new_rows(face_ids, enrolment.replaced)


def delete_face(connection: sqlite3.Connection, gallery: MemoryGallery, face_id: str) -> None:
    """Delete one face. Raises UnknownFaceError."""
    number, faceless = face_records.delete_face(connection, gallery.key, face_id)
    _hide(connection, gallery, [number], faceless)


def delete_subject(connection: sqlite3.Connection, gallery: MemoryGallery, subject: str) -> int:
    """Delete all faces of a subject; returns how many. Raises UnknownSubjectError."""
    numbers, subject_number = face_records.delete_subject(connection, gallery.key, subject)
    _hide(connection, gallery, numbers, [subject_number])
    return len(numbers)


def slots_of(numbers: Iterable[int]) -> SlotArray:
    """The slots [N] of numbered faces or subjects."""
    return np.fromiter(numbers, np.int64) & (SLOTS_MAX - 1)


def _held(gallery: MemoryGallery, original: Rendition, translated: Sequence[Rendition]) -> dict[int, Rendition]:
    held = {gallery.copy(rendition.space).keys.copy: rendition for rendition in translated}
    if original.space in gallery.copies:
        held[gallery.copies[original.space].keys.copy] = original
    if gallery.copies[gallery.serving].keys.copy not in held:
        raise CopiesChangedError(COPIES_CHANGED)
    return held


def _new_rows(face_ids: Sequence[str], known: Iterable[str]) -> list[bool]:
    seen, new = set(known), []
    for face_id in face_ids:
        new.append(face_id not in seen)
        seen.add(face_id)
    return new


def _plan(
    connection: sqlite3.Connection,
    gallery: MemoryGallery,
    faces: Sequence[Face],
    original: Rendition,
    held: dict[int, Rendition],
) -> Enrolment:
    replaced = face_records.known_faces(connection, gallery.key, [face.face_id for face in faces])
    subjects = list(dict.fromkeys(face.subject for face in faces))
    known = face_records.known_subjects(connection, gallery.key, subjects)
    unknown = [subject for subject in subjects if subject not in known]
    free_subjects = gallery.roster.subjects.next(len(unknown))
    new_subjects = {s: number_of(gallery.key, slot) for s, slot in zip(unknown, free_subjects, strict=True)}
    free = iter(gallery.roster.faces.next(len(faces) - len(replaced)))
    numbers = [
        replaced[face.face_id].number if face.face_id in replaced else number_of(gallery.key, next(free))
        for face in faces
    ]
    of_subject = known | new_subjects
    subject_numbers = [of_subject[face.subject] for face in faces]
    return Enrolment(faces, numbers, subject_numbers, new_subjects, replaced, original, held)


def _show(gallery: MemoryGallery, enrolment: Enrolment, new: int, faceless: Sequence[int]) -> None:
    roster, faces = gallery.roster, enrolment.faces
    slots, subjects = slots_of(enrolment.numbers), slots_of(enrolment.subject_numbers)
    roster.faces.take(new)
    roster.subjects.take(len(enrolment.new_subjects))
    roster.put_subjects(slots_of(enrolment.new_subjects.values()), list(enrolment.new_subjects))
    tags = [face_records.tags_text(face) for face in faces]
    times_ms = [face.enrolled_at_ms for face in faces]
    roster.put(slots, [face.face_id for face in faces], subjects, tags, times_ms)
    replaced = slots_of(r.number for r in enrolment.replaced.values())
    for copy in gallery.copies.values():
        given = enrolment.held.get(copy.keys.copy)
        if given is not None:
            copy.features.put(slots, given.features, given.translator)
            copy.claims.release(face.face_id for face in faces)
        else:
            copy.features.remove(replaced)
            copy.claims.reopen([face.face_id for face in faces])
    roster.remove_subjects(slots_of(faceless))


def _hide(
    connection: sqlite3.Connection, gallery: MemoryGallery, numbers: Sequence[int], subjects: Sequence[int]
) -> None:
    slots = slots_of(numbers)
    with gallery.lock.write():
        face_ids = [gallery.roster.face_id(slot) for slot in slots.tolist()]
        for copy in gallery.copies.values():
            copy.features.remove(slots)
            copy.claims.release(face_ids)
        gallery.roster.remove(slots)
        gallery.roster.remove_subjects(slots_of(subjects))
    erase_deleted(connection)


def rows_of(rendition: Rendition, rows: Sequence[int]) -> Rendition:
    """Some rows of a rendition."""
    confidence = None if rendition.confidence is None else rendition.confidence[list(rows)]
    return Rendition(rendition.space, rendition.features[list(rows)], rendition.translator, confidence)
