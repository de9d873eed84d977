"""/galleries/{gallery}/originals: the one route that hands out features, for exports."""

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict

from contract.spaces import Name, RecordId
from contract.vectors import encode_float32
from service.galleries.values import NO_METADATA, Original
from service.routes.bodies import JSON
from service.routes.dependencies import PartsDependency
from service.routes.documentation import problems
from service.routes.gallery_parts import ADMINISTERING, GalleryName, face_fields

PAGE_FACES_MAX: Final = 1000
PAGE_BYTES_MAX: Final = 4 * 1024**2  # of features and metadata; a page has one face at least


class OriginalAnswer(BaseModel):
    """A face with its own feature, unit length in the space `origin`, as base64 of little-endian float32.

    `subject_metadata`, what is kept with its subject, stands with each face of it.
    """

    model_config = ConfigDict(extra="forbid")

    face_id: RecordId
    subject: RecordId
    tags: list[Name]
    enrolled_at: datetime
    metadata: dict[str, Any]
    subject_metadata: dict[str, Any]
    origin: Name
    feature: str


class OriginalsAnswer(BaseModel):
    """Faces by face_id. `next` is the `after` of the next page, null at the end."""

    model_config = ConfigDict(extra="forbid")

    faces: list[OriginalAnswer]
    next: RecordId | None


router = APIRouter(prefix="/galleries/{gallery}/originals", tags=["galleries"])


@router.get(
    "",
    summary="Export faces",
    dependencies=ADMINISTERING,
    responses={200: {"model": OriginalsAnswer}, **problems(400, 401, 403, 404, 429, 503, 504)},
    response_model=None,
)
async def list_originals(
    gallery: GalleryName,
    parts: PartsDependency,
    after: Annotated[RecordId | None, Query(description="The last face_id of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_FACES_MAX, description="Most faces of a page.")] = 100,
) -> Response:
    """Features as they were enrolled. They are biometric data: this is for administrators who move a gallery.

    A page may be shorter than `limit` for its size in bytes. Faces enrolled or deleted meanwhile may be missed.
    """
    originals = await parts.galleries.originals(gallery, after, limit)
    page = originals[: _fitting(originals)]
    more = len(page) < len(originals) or len(originals) == limit
    answer = {"faces": [_answer(original) for original in page], "next": page[-1].face.face_id if more else None}
    return Response(orjson.dumps(answer), media_type=JSON)


def _fitting(originals: Sequence[Original]) -> int:
    sizes = accumulate(
        original.feature.nbytes + len(original.face.metadata) + len(original.face.subject_metadata or "")
        for original in originals
    )
    return max(1, sum(size <= PAGE_BYTES_MAX for size in sizes))


def _answer(original: Original) -> dict[str, object]:
    face = original.face
    of_subject = orjson.Fragment(face.subject_metadata or NO_METADATA)
    held = {"origin": original.space.id, "feature": encode_float32(original.feature)}
    return {**face_fields(face), "subject_metadata": of_subject, **held}
