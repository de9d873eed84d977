"""/migrations: plan, begin, watch, cut over, roll back, complete, cancel, resume."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from contract.spaces import Name
from service.access import Scope
from service.migration.record import Migration, Plan, State
from service.migration.record_keeping import counts_key
from service.migration.report import Progress, ShadowReport, progress_of, shadow_report
from service.routes.bodies import JSON, read_json_body
from service.routes.dependencies import DeadlineDependency, PartsDependency, admitted
from service.routes.documentation import json_body, problems
from service.routes.gallery_parts import GalleryName
from service.routes.parts import Parts


class MigrationBody(BaseModel):
    """Where a gallery is to go; `plan_only` changes nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    target_model: Name
    plan_only: bool = Field(False, description="Answer with the plan and begin nothing.")


class RollbackBody(BaseModel):
    """Whether the old copy serves although faces are missing in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    allow_missing: bool = Field(
        False,
        description="Searches then miss the faces in `progress.unserved`, until the next cut-over or their enrolment.",
    )


class MigrationSummary(BaseModel):
    """A migration and where it is. `reason` is a code: why it failed, or ended by itself."""

    model_config = ConfigDict(extra="forbid")

    id: Name
    gallery: Name
    source_model: Name
    target_model: Name
    state: State
    reason: str | None
    created_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, migration: Migration, **more: object) -> Self:
        """Describe a migration."""
        facts = migration.model_dump(include={"id", "gallery", "state", "reason", "created_at", "changed_at"})
        names = {"source_model": migration.source.id, "target_model": migration.target.id}
        return cls.model_validate(facts | names | more)


class MigrationsAnswer(BaseModel):
    """Migrations under way and the latest finished ones, newest first.

    Those of `unreachable` galleries stand as they were when last seen.
    """

    model_config = ConfigDict(extra="forbid")

    migrations: list[MigrationSummary]
    unreachable: list[Name]


class MigrationAnswer(MigrationSummary):
    """A migration with its plan, its progress (null once it is finished) and what the shadow has seen."""

    plan: Plan
    progress: Progress | None
    shadow: ShadowReport


MigrationId = Annotated[Name, Path(description="Id of the migration.")]

router = APIRouter(
    tags=["migrations"],
    dependencies=[admitted(Scope.ADMIN, quietly=True)],
    responses=problems(400, 401, 403, 404, 429, 503, 504),
)


@router.post(
    "/galleries/{gallery}/migrations",
    summary="Move a gallery to another feature space, or plan to",
    status_code=201,
    openapi_extra=json_body(MigrationBody),
    response_model=MigrationAnswer,
    responses={200: {"model": Plan, "description": "The plan alone"}, **problems(409, 413, 422, 502)},
)
async def post_migration(
    gallery: GalleryName, request: Request, parts: PartsDependency, deadline: DeadlineDependency
) -> MigrationAnswer | Response:
    """Faces are translated from their originals, never from a translation. Searches go on in the space of before."""
    body = await read_json_body(request, MigrationBody, parts.settings.body_bytes_max, deadline)
    if body.plan_only:
        plan = await parts.migrations.plan(gallery, body.target_model, deadline)
        return Response(plan.model_dump_json(), media_type=JSON)
    return await _describe(await parts.migrations.begin(gallery, body.target_model, deadline), parts)


@router.get("/migrations", summary="All migrations")
async def list_migrations(parts: PartsDependency) -> MigrationsAnswer:
    """Those under way, and the latest 100 finished ones.

    Where some of a cluster's servers are out of reach, the migrating galleries they hold are named in `unreachable`.
    """
    migrations, unreachable = await parts.migrations.all()
    return MigrationsAnswer(
        migrations=[MigrationSummary.of(migration) for migration in migrations], unreachable=sorted(unreachable)
    )


@router.get("/migrations/{migration}", summary="One migration")
async def get_migration(migration: MigrationId, parts: PartsDependency) -> MigrationAnswer:
    """State, plan, progress, and how searches differ between the two copies."""
    return await _describe(await parts.migrations.get(migration), parts)


@router.post("/migrations/{migration}/cutover", summary="Serve the new copy", responses=problems(409))
async def cut_over_migration(migration: MigrationId, parts: PartsDependency) -> MigrationAnswer:
    """In one step, for all gateways at once; refused while a face is missing."""
    return await _describe(await parts.migrations.cut_over(migration), parts)


@router.post(
    "/migrations/{migration}/rollback",
    summary="Serve the old copy again",
    openapi_extra=json_body(RollbackBody, optional=True),
    responses=problems(409, 413),
)
async def roll_back_migration(
    migration: MigrationId, request: Request, parts: PartsDependency, deadline: DeadlineDependency
) -> MigrationAnswer:
    """At any time between cut-over and completion; the new copy stays and can be cut over again.

    Faces enrolled since the cut-over without a route to the old copy are missing there: 409 `copy-incomplete`, unless
    `allow_missing` is true.
    """
    body = await read_json_body(request, RollbackBody, parts.settings.body_bytes_max, deadline, optional=True)
    return await _describe(await parts.migrations.roll_back(migration, allow_missing=body.allow_missing), parts)


@router.post("/migrations/{migration}/complete", summary="Drop the old copy", responses=problems(409))
async def complete_migration(migration: MigrationId, parts: PartsDependency) -> MigrationAnswer:
    """Ends the migration; from here on there is no way back but another migration. Originals stay."""
    return await _describe(await parts.migrations.complete(migration), parts)


@router.post("/migrations/{migration}/cancel", summary="Drop the new copy", responses=problems(409))
async def cancel_migration(migration: MigrationId, parts: PartsDependency) -> MigrationAnswer:
    """Before it serves; the gallery is as if nothing had been begun."""
    return await _describe(await parts.migrations.cancel(migration), parts)


@router.post("/migrations/{migration}/resume", summary="Go on after a failure", responses=problems(409))
async def resume_migration(migration: MigrationId, parts: PartsDependency) -> MigrationAnswer:
    """Once what failed it is mended."""
    return await _describe(await parts.migrations.resume(migration), parts)


async def _describe(migration: Migration, parts: Parts) -> MigrationAnswer:
    progress = None
    if not migration.is_finished and (info := await parts.migrations.info(migration)) is not None:
        progress = progress_of(migration, info)
    shadow = shadow_report(await parts.galleries.tallied(counts_key(migration.id)))
    return MigrationAnswer.of(migration, plan=migration.plan, progress=progress, shadow=shadow)
