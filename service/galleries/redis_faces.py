"""Faces and subjects in Redis: enrolled and read."""

from collections.abc import Sequence

from service.errors import UnknownFaceError, UnknownSubjectError
from service.galleries.redis_commands import RedisCommands
from service.galleries.redis_lifecycle import find
from service.galleries.redis_records import key_of, read_record, record_fields, upsert_arguments
from service.galleries.redis_scripts import NEW, UPSERT
from service.galleries.refusals import NO_FACE, NO_SUBJECT, too_many_faces
from service.galleries.values import NO_METADATA, Face, FaceRecord, Rendition, SubjectRecord


async def upsert(
    redis: RedisCommands,
    gallery: str,
    faces: Sequence[Face],
    original: Rendition,
    translated: Sequence[Rendition],
    faces_max: int,
) -> list[bool]:
    """Enrol or replace faces, all or none; returns which were new."""
    arguments = upsert_arguments(faces, original, translated)
    new = await redis.change(UPSERT, key_of(gallery), faces_max, *arguments)
    if new is None:
        raise too_many_faces(faces_max)
    return [row == NEW for row in new.decode()]


async def read_face(redis: RedisCommands, gallery: str, face_id: str) -> FaceRecord:
    """All that is known of one face."""
    record = await find(redis, gallery)
    fields = await redis.command("HMGET", record.face_key(face_id), *record_fields(record))
    if fields[0] is None:
        raise UnknownFaceError(NO_FACE)
    return read_record(record, face_id, fields)


async def read_subject(redis: RedisCommands, gallery: str, subject: str) -> SubjectRecord:
    """All that is known of one subject."""
    record = await find(redis, gallery)
    reads = [("SMEMBERS", record.subject_key(subject)), ("HGET", record.described_key, subject)]
    face_ids, metadata = await redis.commands(reads)
    if not face_ids:
        raise UnknownSubjectError(NO_SUBJECT)
    kept = metadata.decode() if metadata else NO_METADATA
    return SubjectRecord(subject, tuple(sorted(face_id.decode() for face_id in face_ids)), kept)
