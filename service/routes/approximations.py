"""/galleries/{gallery}/approximation: built and measured on request, removed."""

from typing import Annotated, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from contract.spaces import Name
from service.errors import CopiesChangedError, GallerySpaceMismatchError
from service.face_facts import instant_text
from service.galleries.values import Approximation
from service.routes.bodies import read_json_body
from service.routes.dependencies import DeadlineDependency, PartsDependency
from service.routes.documentation import json_body, problems
from service.routes.gallery_parts import ADMINISTERING, GalleryName

Recall = Annotated[float, Field(ge=0, le=1)]


class ApproximationBody(BaseModel):
    """Nothing can be chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ApproximationAnswer(BaseModel):
    """How much the approximate search of a gallery finds, measured against the exact one when it was built.

    `probes` faces of the gallery's own were sought, each without itself: the faces most similar to it are its nearest
    others. `recall_at_1` is the share of probes whose nearest one was found, `recall_at_10` the share of all their ten
    nearest. `faces` is how many the gallery held then.
    """

    model_config = ConfigDict(extra="forbid")

    model: Name
    built_at: str = Field(json_schema_extra={"format": "date-time"})
    faces: int
    probes: int
    recall_at_1: Recall
    recall_at_10: Recall

    @classmethod
    def of(cls, model: str, measured: Approximation) -> Self:
        """What was measured of the copy in a model's space."""
        return cls(
            model=model,
            built_at=instant_text(measured.built_at_ms),
            faces=measured.faces,
            probes=measured.probes,
            recall_at_1=measured.recall_at_1,
            recall_at_10=measured.recall_at_10,
        )


router = APIRouter(
    prefix="/galleries/{gallery}/approximation",
    tags=["galleries"],
    dependencies=ADMINISTERING,
    responses=problems(400, 401, 403, 404, 409, 429, 503, 504),
)


@router.put(
    "",
    summary="Search a gallery approximately",
    openapi_extra=json_body(ApproximationBody, optional=True),
    responses=problems(413),
)
async def put_approximation(
    gallery: GalleryName, request: Request, parts: PartsDependency, deadline: DeadlineDependency
) -> ApproximationAnswer:
    """Build and measure it for the copy that serves; what is there already stays as it is.

    503 `still-building` until it is built: ask again. It ends with its copy: after a cut-over searches are exact.
    """
    await read_json_body(request, ApproximationBody, parts.settings.body_bytes_max, deadline, optional=True)
    info = await parts.galleries.info(gallery)
    try:
        measured = await parts.galleries.approximate(gallery, info.space)
    except GallerySpaceMismatchError:
        raise CopiesChangedError("another copy serves by now") from None
    return ApproximationAnswer.of(info.space.id, measured)


@router.delete("", summary="Search a gallery exactly", status_code=204)
async def delete_approximation(gallery: GalleryName, parts: PartsDependency) -> None:
    """Remove it from the copy that serves, or give up building it; if there is none, nothing happens."""
    info = await parts.galleries.info(gallery)
    try:
        await parts.galleries.exactly(gallery, info.space)
    except GallerySpaceMismatchError:
        raise CopiesChangedError("another copy serves by now") from None
