"""/galleries: create, describe, enrol, read, delete."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from contract.spaces import Name, RecordId
from service.access import Scope
from service.errors import MalformedBodyError, UnsupportedMediaTypeError
from service.galleries.base import Face, GalleryInfo
from service.routes.bodies import JSON, FeatureBody, media_type, parse_json, read_body, to_features, validate
from service.routes.dependencies import (
    DeadlineDependency,
    PartsDependency,
    TimingsDependency,
    admitted,
    requires,
)
from service.routes.documentation import problems


class GalleryBody(BaseModel):
    """The feature space a gallery is to hold, for good."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Name


class FaceBody(BaseModel):
    """Who a feature shows. The face_id is the caller's; a face of the same id is replaced."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    face_id: RecordId
    subject: RecordId


def _list(value: object) -> object:
    if isinstance(value, list):
        return value
    raise ValueError("a list is expected")


class EnrolBody(FeatureBody):
    """Features to enrol, and for each the face it is of, in the same order."""

    # Judged one by one once their number is known to be allowed: pydantic would collect an error for each of millions.
    faces: Annotated[
        list[Any],
        PlainValidator(_list),
        WithJsonSchema({"type": "array", "minItems": 1, "items": FaceBody.model_json_schema()}),
    ]


class GalleryAnswer(BaseModel):
    """A gallery and how much it holds."""

    model_config = ConfigDict(extra="forbid")

    gallery: Name
    model: Name
    dim: int
    faces: int
    subjects: int


class GalleriesAnswer(BaseModel):
    """All galleries, by name."""

    model_config = ConfigDict(extra="forbid")

    galleries: list[GalleryAnswer]


class EnrolledTranslator(BaseModel):
    """What translated the features on their way in."""

    model_config = ConfigDict(extra="forbid")

    id: Name
    version: int


class EnrolAnswer(BaseModel):
    """How many faces were enrolled, how many of them were not there before; `translator` is null for native ones."""

    model_config = ConfigDict(extra="forbid")

    enrolled: int
    new: int
    translator: EnrolledTranslator | None


class FaceAnswer(BaseModel):
    """An enrolled face. `derived_from` is the source space of a translated feature, `translator` its id@version."""

    model_config = ConfigDict(extra="forbid")

    face_id: RecordId
    subject: RecordId
    derived_from: Name | None
    translator: str | None


class DeletedAnswer(BaseModel):
    """How many faces were deleted."""

    model_config = ConfigDict(extra="forbid")

    deleted: int = Field(ge=1)


GalleryName = Annotated[Name, Path(description="Name of the gallery.")]
FaceId = Annotated[RecordId, Path(description="Id of the face.")]
Subject = Annotated[RecordId, Path(description="Id of the subject.")]

reading = [Depends(requires(Scope.SEARCH)), admitted]
enrolling = [Depends(requires(Scope.ENROL)), admitted]
administering = [Depends(requires(Scope.ADMIN)), admitted]

router = APIRouter(prefix="/galleries", tags=["galleries"], responses=problems(400, 401, 403, 429, 503))


@router.get("", summary="All galleries", dependencies=reading)
async def list_galleries(parts: PartsDependency) -> GalleriesAnswer:
    """Names, feature spaces and sizes."""
    return GalleriesAnswer(galleries=[_describe(info) for info in await parts.galleries.list()])


@router.get("/{gallery}", summary="One gallery", dependencies=reading, responses=problems(404))
async def get_gallery(gallery: GalleryName, parts: PartsDependency) -> GalleryAnswer:
    """Its feature space and size."""
    return _describe(await parts.galleries.info(gallery))


@router.put(
    "/{gallery}",
    summary="Create a gallery",
    dependencies=administering,
    openapi_extra={"requestBody": {"required": True, "content": {JSON: {"schema": GalleryBody.model_json_schema()}}}},
    responses={201: {"model": GalleryAnswer, "description": "Created"}, **problems(404, 409, 413, 504)},
)
async def put_gallery(
    gallery: GalleryName, request: Request, parts: PartsDependency, deadline: DeadlineDependency, response: Response
) -> GalleryAnswer:
    """Create a gallery of a registered feature space: 201 if it is new, 200 if it was there, 409 in another space."""
    body = validate(GalleryBody, parse_json(await read_body(request, parts.settings.body_bytes_max, deadline)))
    created = await parts.galleries.create(gallery, parts.catalog.current.space(body.model))
    response.status_code = 201 if created else 200
    return _describe(await parts.galleries.info(gallery))


@router.delete(
    "/{gallery}",
    summary="Delete a gallery",
    status_code=204,
    dependencies=administering,
    responses=problems(404),
)
async def delete_gallery(gallery: GalleryName, parts: PartsDependency) -> None:
    """Delete it with all its faces."""
    await parts.galleries.drop(gallery)


@router.post(
    "/{gallery}/faces",
    summary="Enrol or replace faces",
    dependencies=enrolling,
    openapi_extra={"requestBody": {"required": True, "content": {JSON: {"schema": EnrolBody.model_json_schema()}}}},
    responses=problems(404, 409, 413, 415, 422, 502, 504),
)
async def enrol_faces(
    gallery: GalleryName,
    request: Request,
    parts: PartsDependency,
    deadline: DeadlineDependency,
    timings: TimingsDependency,
) -> EnrolAnswer:
    """All or none. Features of another space than the gallery's are translated on the way in and marked as derived."""
    settings = parts.settings
    if media_type(request) != JSON:
        raise UnsupportedMediaTypeError(f"send {JSON}")
    body = validate(EnrolBody, parse_json(await read_body(request, settings.body_bytes_max, deadline)))
    info = await parts.galleries.info(gallery)
    space = parts.identification.source_space(body.source_model, info)
    features = to_features(body.features, body.encoding_format, space.dim, settings.rows_max)
    faces = _faces(body.faces, len(features))
    parts.metrics.request_rows.labels("/galleries/{gallery}/faces").observe(len(features))
    timings.leave_queue()
    enrolled = await parts.identification.enrol(body.source_model, info, faces, features, deadline)
    timings.inference_s, timings.gallery_s = enrolled.inference_s, enrolled.gallery_s
    made_by = enrolled.translator
    translator = None if made_by is None else EnrolledTranslator(id=made_by.id, version=made_by.version)
    return EnrolAnswer(enrolled=len(faces), new=enrolled.new, translator=translator)


@router.get("/{gallery}/faces/{face_id}", summary="One face", dependencies=reading, responses=problems(404))
async def get_face(gallery: GalleryName, face_id: FaceId, parts: PartsDependency) -> FaceAnswer:
    """Whose it is and where it came from. Its feature never leaves the gateway."""
    face = await parts.galleries.get(gallery, face_id)
    return FaceAnswer(
        face_id=face.face_id, subject=face.subject, derived_from=face.derived_from, translator=face.translator
    )


@router.delete(
    "/{gallery}/faces/{face_id}",
    summary="Delete a face",
    status_code=204,
    dependencies=enrolling,
    responses=problems(404),
)
async def delete_face(gallery: GalleryName, face_id: FaceId, parts: PartsDependency) -> None:
    """Delete one face."""
    await parts.galleries.delete_face(gallery, face_id)


@router.delete(
    "/{gallery}/subjects/{subject}",
    summary="Delete a subject",
    dependencies=enrolling,
    responses=problems(404),
)
async def delete_subject(gallery: GalleryName, subject: Subject, parts: PartsDependency) -> DeletedAnswer:
    """Delete all faces of a subject in this gallery, translated ones too."""
    return DeletedAnswer(deleted=await parts.galleries.delete_subject(gallery, subject))


def _describe(info: GalleryInfo) -> GalleryAnswer:
    return GalleryAnswer(
        gallery=info.name, model=info.space.id, dim=info.space.dim, faces=info.faces, subjects=info.subjects
    )


def _faces(raw: Sequence[Any], rows: int) -> list[Face]:
    if len(raw) != rows:
        raise MalformedBodyError(f"faces: {len(raw)} where features has {rows}")
    faces: dict[str, Face] = {}
    for row, value in enumerate(raw):
        body = validate(FaceBody, value, row=row)
        if body.face_id in faces:
            raise MalformedBodyError(f"row {row}: its face_id stands in the request before", row=row)
        faces[body.face_id] = Face(body.face_id, body.subject)
    return list(faces.values())
