"""GET /models, /translators and /info: what can be translated, how well, and under which limits."""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from contract.spaces import FeatureSpace, Name
from service.routes.dependencies import PartsDependency, requires
from service.routes.documentation import problems
from service.settings import EngineKind, StoreKind


class Route(BaseModel):
    """A translator that joins two feature spaces."""

    model_config = ConfigDict(extra="forbid")

    source_model: Name
    target_model: Name
    translator: Name
    version: int


class Models(BaseModel):
    """The feature spaces that routes join."""

    model_config = ConfigDict(extra="forbid")

    models: list[FeatureSpace]
    routes: list[Route]


class Translators(BaseModel):
    """Quality cards: manifests of the versions that serve, without the arrays of the confidence model."""

    model_config = ConfigDict(extra="forbid")

    translators: list[dict[str, Any]]


class Limits(BaseModel):
    """Bounds a client meets."""

    model_config = ConfigDict(extra="forbid")

    body_bytes_max: int
    rows_max: int
    top_k_max: int
    timeout_ms: int
    galleries_max: int
    faces_max: int


class RefusedVersion(BaseModel):
    """A version in the repository that is not served, and why."""

    model_config = ConfigDict(extra="forbid")

    translator: str
    version: int
    reason: str


class Info(BaseModel):
    """This gateway."""

    model_config = ConfigDict(extra="forbid")

    version: str
    engine: EngineKind
    gallery_store: StoreKind
    limits: Limits
    translators: int
    refused: list[RefusedVersion]


router = APIRouter(tags=["catalogue"], dependencies=[Depends(requires(None))], responses=problems(401, 429))


@router.get("/models", summary="Feature spaces and the routes between them")
async def models(parts: PartsDependency) -> Models:
    """What `source_model` and `target_model` may name."""
    catalog = parts.catalog.current
    routes = [
        Route(source_model=m.source.id, target_model=m.target.id, translator=m.id, version=m.version)
        for m in catalog.translators.values()
    ]
    return Models(models=sorted(catalog.spaces.values(), key=lambda space: space.id), routes=routes)


@router.get("/translators", summary="Quality cards of the translators that serve")
async def translators(parts: PartsDependency) -> Translators:
    """How each translator was made, how well it identifies, and from which similarity on it may be trusted."""
    return Translators(
        translators=[
            manifest.model_dump(mode="json", exclude={"confidence"})
            | {"scores_confidence": manifest.confidence is not None}
            for manifest in parts.catalog.current.translators.values()
        ]
    )


@router.get("/info", summary="Version, engine, store, limits, refused versions")
async def info(parts: PartsDependency) -> Info:
    """What an operator asks first."""
    settings, catalog = parts.settings, parts.catalog.current
    return Info(
        version=version("r3an"),
        engine=settings.engine,
        gallery_store=settings.gallery_store,
        limits=Limits(**{name: getattr(settings, name) for name in Limits.model_fields}),
        translators=len(catalog.translators),
        refused=[RefusedVersion(translator=r.translator, version=r.version, reason=r.reason) for r in catalog.refusals],
    )
