"""/galleries: create, describe, delete."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from contract.spaces import Name
from service.galleries.values import GalleryInfo
from service.routes.approximations import ApproximationAnswer
from service.routes.bodies import read_json_body
from service.routes.dependencies import DeadlineDependency, PartsDependency
from service.routes.documentation import json_body, problems
from service.routes.gallery_parts import ADMINISTERING, READING, GalleryName


class GalleryBody(BaseModel):
    """The feature space that a gallery's searches are to be served in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Name


class CopyAnswer(BaseModel):
    """A gallery's faces in one feature space, how many are not in it yet, and how many each translator made.

    `translators` are by id@version; faces that none made are native.
    """

    model_config = ConfigDict(extra="forbid")

    model: Name
    dim: int
    faces: int
    missing: int
    translators: dict[str, int]


class GallerySummary(BaseModel):
    """A gallery and how much it holds. `model` serves searches; so does the first of one or two `copies`.

    `incarnation` tells it from every other gallery ever created, one that was deleted and made anew too.
    """

    model_config = ConfigDict(extra="forbid")

    gallery: Name
    incarnation: str
    model: Name
    dim: int
    faces: int
    subjects: int
    copies: list[CopyAnswer]


class GalleryAnswer(GallerySummary):
    """A gallery, how much it holds, and how many faces were enrolled in each feature space.

    `approximation`: what searches are answered by; null where they are exact.
    """

    origins: dict[Name, int]
    approximation: ApproximationAnswer | None


class GalleriesAnswer(BaseModel):
    """All galleries, by name. Of the `unreachable` ones nothing but the name is known now."""

    model_config = ConfigDict(extra="forbid")

    galleries: list[GallerySummary]
    unreachable: list[Name]


router = APIRouter(prefix="/galleries", tags=["galleries"], responses=problems(400, 401, 403, 429, 503, 504))


@router.get("", summary="All galleries", dependencies=READING)
async def list_galleries(parts: PartsDependency) -> GalleriesAnswer:
    """Names, feature spaces and sizes.

    Where some of a cluster's servers are out of reach, the galleries they hold are named in `unreachable`.
    """
    listing = await parts.galleries.list()
    return GalleriesAnswer(galleries=[_summarise(info) for info in listing.galleries], unreachable=listing.unreachable)


@router.get("/{gallery}", summary="One gallery", dependencies=READING, responses=problems(404))
async def get_gallery(gallery: GalleryName, parts: PartsDependency) -> GalleryAnswer:
    """Its copies and what is missing in them, its size, and where its faces came from."""
    return await _describe(gallery, parts)


@router.put(
    "/{gallery}",
    summary="Create a gallery",
    dependencies=ADMINISTERING,
    openapi_extra=json_body(GalleryBody),
    responses={201: {"model": GalleryAnswer, "description": "Created"}, **problems(404, 409, 413)},
)
async def put_gallery(
    gallery: GalleryName, request: Request, parts: PartsDependency, deadline: DeadlineDependency, response: Response
) -> GalleryAnswer:
    """Create a gallery of a registered feature space: 201 if it is new, 200 if it was there, 409 in another space."""
    body = await read_json_body(request, GalleryBody, parts.settings.body_bytes_max, deadline)
    created = await parts.galleries.create(gallery, parts.catalog.current.space(body.model))
    response.status_code = 201 if created else 200
    return await _describe(gallery, parts)


@router.delete(
    "/{gallery}",
    summary="Delete a gallery",
    status_code=204,
    dependencies=ADMINISTERING,
    responses=problems(404),
)
async def delete_gallery(gallery: GalleryName, parts: PartsDependency) -> None:
    """Delete it with all its faces and copies. It is gone at once; a large one is erased behind the answer."""
    await parts.galleries.drop(gallery)


async def _describe(gallery: str, parts: PartsDependency) -> GalleryAnswer:
    info = await parts.galleries.info(gallery)
    summary = _summarise(info)
    measured = info.copies[0].approximation
    approximation = None if measured is None else ApproximationAnswer.of(info.space.id, measured)
    origins = await parts.galleries.origins(gallery)
    return GalleryAnswer(**summary.model_dump(), origins=origins, approximation=approximation)


def _summarise(info: GalleryInfo) -> GallerySummary:
    copies = [
        CopyAnswer(
            model=copy.space.id,
            dim=copy.space.dim,
            faces=copy.faces,
            missing=max(0, info.faces - copy.faces),
            translators=dict(copy.translators),
        )
        for copy in info.copies
    ]
    return GallerySummary(
        gallery=info.name,
        incarnation=info.incarnation,
        model=info.space.id,
        dim=info.space.dim,
        faces=info.faces,
        subjects=info.subjects,
        copies=copies,
    )
