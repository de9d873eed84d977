"""/galleries/{gallery}/faces: enrol, read, delete."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from contract.spaces import Name, RecordId
from service.duplicates import DuplicatePolicy, OnDuplicate
from service.enrolment import Enrolled
from service.errors import MalformedBodyError, UnsupportedMediaTypeError
from service.face_facts import FACE_METADATA_BYTES_MAX, SUBJECT_METADATA_BYTES_MAX, now_ms
from service.galleries.values import NO_METADATA, Face, FaceRecord
from service.routes.bodies import JSON, FeatureBody, media_type, read_json_body, to_features, validate
from service.routes.dependencies import PartsDependency
from service.routes.documentation import json_body, problems
from service.routes.gallery_parts import (
    ENROLLING,
    OBJECT_SCHEMA,
    READING,
    FaceId,
    GalleryName,
    Instant,
    Tags,
    face_fields,
    metadata_field,
)
from service.routes.parts import deadline_of, parts_of, timings_of
from service.thresholds import Threshold


class FaceBody(BaseModel):
    """Who a feature shows. The face_id is the caller's; a face of the same id is replaced."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    face_id: RecordId
    subject: RecordId
    tags: Tags = Field((), description="What searches may ask for; kept in order, each once.")
    enrolled_at: Instant = Field(None, description="When the face was enrolled; now, if not given.")
    metadata: Annotated[str, metadata_field(FACE_METADATA_BYTES_MAX), OBJECT_SCHEMA] = Field(
        default_factory=lambda: NO_METADATA, description="Kept with the face: 1,024 bytes as compact JSON."
    )
    subject_metadata: Annotated[str | None, metadata_field(SUBJECT_METADATA_BYTES_MAX), OBJECT_SCHEMA] = Field(
        default_factory=lambda: None,
        description="Kept with the subject in place of what was: 4,096 bytes as compact JSON. As it is, if not given.",
    )


def _list(value: object) -> object:
    if isinstance(value, list):
        return value
    raise ValueError("a list is expected")


class EnrolBody(FeatureBody):
    """Features to enrol, and for each the face it is of, in the same order.

    Unless duplicates are allowed, one of `duplicate_min_similarity` and `duplicate_max_fmr` says what a duplicate is.
    """

    # Judged one by one once their number is known to be allowed: pydantic would collect an error for each of millions.
    faces: Annotated[
        list[Any],
        PlainValidator(_list),
        WithJsonSchema({"type": "array", "minItems": 1, "items": FaceBody.model_json_schema()}),
    ]
    on_duplicate: Literal["allow", "report", "reject"] = Field(
        "allow", description="What becomes of a face that looks like one of another subject."
    )
    duplicate_min_similarity: float | None = Field(None, ge=-1, le=1, description="A duplicate is at least as similar.")
    duplicate_max_fmr: float | None = Field(
        None, gt=0, lt=1, description="A duplicate is as similar as impostors are at most this often."
    )

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        given = sum(value is not None for value in (self.duplicate_min_similarity, self.duplicate_max_fmr))
        if given != (self.on_duplicate != "allow"):
            raise ValueError("on_duplicate report or reject takes one of duplicate_min_similarity, duplicate_max_fmr")
        return self

    @property
    def policy(self) -> DuplicatePolicy:
        """The two fields and the threshold as one."""
        threshold = Threshold(self.duplicate_min_similarity, self.duplicate_max_fmr)
        return DuplicatePolicy(OnDuplicate(self.on_duplicate), threshold)


class EnrolledTranslator(BaseModel):
    """What translated the features on their way in."""

    model_config = ConfigDict(extra="forbid")

    id: Name
    version: int


class DuplicateAnswer(BaseModel):
    """A row that looks like a face of another subject: the most similar one, enrolled or in a row before."""

    model_config = ConfigDict(extra="forbid")

    row: int
    face_id: RecordId
    subject: RecordId
    similarity: float


class EnrolAnswer(BaseModel):
    """How many faces were enrolled, how many of them were not there before, and which rows replaced one that was.

    `translator` is null for native ones; `duplicates` is empty unless they are to be reported.
    """

    model_config = ConfigDict(extra="forbid")

    enrolled: int
    new: int
    replaced_rows: list[int]
    translator: EnrolledTranslator | None
    duplicates: list[DuplicateAnswer]


class HeldAnswer(BaseModel):
    """A copy that a face is in. `derived_from` and `translator` (id@version) are null where its feature is native."""

    model_config = ConfigDict(extra="forbid")

    model: Name
    derived_from: Name | None
    translator: str | None
    confidence: float | None


class FaceAnswer(BaseModel):
    """An enrolled face. `origin` is the space of its own feature, from which all others are translated."""

    model_config = ConfigDict(extra="forbid")

    face_id: RecordId
    subject: RecordId
    tags: list[Name]
    enrolled_at: datetime
    metadata: dict[str, Any]
    origin: Name
    held: list[HeldAnswer]


router = APIRouter(
    prefix="/galleries/{gallery}/faces", tags=["galleries"], responses=problems(400, 401, 403, 404, 429, 503, 504)
)


@router.post(
    "",
    summary="Enrol or replace faces",
    dependencies=ENROLLING,
    openapi_extra=json_body(EnrolBody),
    responses=problems(409, 413, 415, 422, 502),
)
async def enrol_faces(gallery: GalleryName, request: Request) -> EnrolAnswer:
    """All or none. Each feature is kept as it came, and translated into each of the gallery's copies in another space.

    Two requests at the same time may miss duplicates in one another.
    """
    parts, deadline, timings = parts_of(request), deadline_of(request), timings_of(request)
    settings = parts.settings
    if media_type(request) != JSON:
        raise UnsupportedMediaTypeError(f"send {JSON}")
    body = await read_json_body(request, EnrolBody, settings.body_bytes_max, deadline)
    info = await parts.galleries.info(gallery)
    space = parts.identification.source_space(body.source_model, info)
    features = to_features(body.features, body.encoding_format, space.dim, settings.rows_max)
    faces = _faces(body.faces, len(features))
    parts.metrics.request_rows.labels("/galleries/{gallery}/faces").observe(len(features))
    timings.leave_queue()
    enrolled = await parts.enrolment.enrol(body.source_model, info, faces, features, deadline, body.policy)
    timings.inference_s, timings.gallery_s = enrolled.inference_s, enrolled.gallery_s
    return _enrol_answer(len(faces), enrolled)


@router.get(
    "/{face_id}", summary="One face", dependencies=READING, responses={200: {"model": FaceAnswer}}, response_model=None
)
async def get_face(gallery: GalleryName, face_id: FaceId, parts: PartsDependency) -> Response:
    """Whose it is, where it came from and in which copies it is. Its feature is not told."""
    record = await parts.galleries.get(gallery, face_id)
    return Response(orjson.dumps(_face_answer(record)), media_type=JSON)


@router.delete("/{face_id}", summary="Delete a face", status_code=204, dependencies=ENROLLING)
async def delete_face(gallery: GalleryName, face_id: FaceId, parts: PartsDependency) -> None:
    """Delete one face from all copies."""
    await parts.galleries.delete_face(gallery, face_id)


def _faces(raw: Sequence[Any], rows: int) -> list[Face]:
    if len(raw) != rows:
        raise MalformedBodyError(f"faces: {len(raw)} where features has {rows}")
    faces: dict[str, Face] = {}
    arrived_at_ms = now_ms()
    for row, value in enumerate(raw):
        body = validate(FaceBody, value, row=row)
        if body.face_id in faces:
            raise MalformedBodyError(f"row {row}: its face_id stands in the request before", row=row)
        enrolled_at_ms = arrived_at_ms if body.enrolled_at is None else body.enrolled_at
        faces[body.face_id] = Face(
            body.face_id, body.subject, body.tags, enrolled_at_ms, body.metadata, body.subject_metadata
        )
    return list(faces.values())


def _enrol_answer(rows: int, enrolled: Enrolled) -> EnrolAnswer:
    made_by = enrolled.translator
    return EnrolAnswer(
        enrolled=rows,
        new=enrolled.new,
        replaced_rows=list(enrolled.replaced_rows),
        translator=None if made_by is None else EnrolledTranslator(id=made_by.id, version=made_by.version),
        duplicates=[
            DuplicateAnswer(row=d.row, face_id=d.face_id, subject=d.subject, similarity=d.similarity)
            for d in enrolled.duplicates
        ],
    )


def _face_answer(record: FaceRecord) -> dict[str, object]:
    held = [
        {
            "model": rendition.space,
            "derived_from": None if rendition.translator is None else record.origin,
            "translator": rendition.translator,
            "confidence": rendition.confidence,
        }
        for rendition in record.held
    ]
    return {**face_fields(record.face), "origin": record.origin, "held": held}
