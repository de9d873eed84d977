"""/galleries/{gallery}/subjects: describe, read, delete."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from contract.spaces import RecordId
from service.face_facts import SUBJECT_METADATA_BYTES_MAX
from service.routes.bodies import JSON, read_json_body
from service.routes.dependencies import DeadlineDependency, PartsDependency
from service.routes.documentation import json_body, problems
from service.routes.gallery_parts import ENROLLING, OBJECT_SCHEMA, READING, GalleryName, Subject, metadata_field


class SubjectBody(BaseModel):
    """What is to be kept with a subject in place of what was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metadata: Annotated[str, metadata_field(SUBJECT_METADATA_BYTES_MAX), OBJECT_SCHEMA] = Field(
        description="4,096 bytes as compact JSON."
    )


class SubjectAnswer(BaseModel):
    """A subject, its faces in order, and what is kept with it."""

    model_config = ConfigDict(extra="forbid")

    subject: RecordId
    faces: list[RecordId]
    metadata: dict[str, Any]


class DeletedAnswer(BaseModel):
    """How many faces were deleted."""

    model_config = ConfigDict(extra="forbid")

    deleted: int = Field(ge=1)


router = APIRouter(
    prefix="/galleries/{gallery}/subjects/{subject}",
    tags=["galleries"],
    responses=problems(400, 401, 403, 404, 429, 503, 504),
)


@router.get(
    "", summary="One subject", dependencies=READING, responses={200: {"model": SubjectAnswer}}, response_model=None
)
async def get_subject(gallery: GalleryName, subject: Subject, parts: PartsDependency) -> Response:
    """All its faces, and what is kept with it."""
    record = await parts.galleries.subject(gallery, subject)
    answer = {
        "subject": record.subject,
        "faces": record.face_ids,
        "metadata": orjson.Fragment(record.metadata),
    }
    return Response(orjson.dumps(answer), media_type=JSON)


@router.put(
    "",
    summary="Describe a subject",
    status_code=204,
    dependencies=ENROLLING,
    openapi_extra=json_body(SubjectBody),
    responses=problems(413),
)
async def put_subject(
    gallery: GalleryName, subject: Subject, request: Request, parts: PartsDependency, deadline: DeadlineDependency
) -> None:
    """Keep metadata with an enrolled subject until its last face is deleted."""
    body = await read_json_body(request, SubjectBody, parts.settings.body_bytes_max, deadline)
    await parts.galleries.describe_subject(gallery, subject, body.metadata)


@router.delete("", summary="Delete a subject", dependencies=ENROLLING)
async def delete_subject(gallery: GalleryName, subject: Subject, parts: PartsDependency) -> DeletedAnswer:
    """Delete all faces of a subject in this gallery from all copies."""
    return DeletedAnswer(deleted=await parts.galleries.delete_subject(gallery, subject))
