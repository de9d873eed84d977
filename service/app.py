"""`create_app`: the only place where the gateway's parts are put together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute

from service.access import Access, KeysFileError
from service.bounds import InFlight
from service.door import Door
from service.engines.base import Engine
from service.engines.echo import EchoEngine
from service.engines.joined import JoinedEngine
from service.engines.onnxruntime import open_onnxruntime
from service.engines.torchscript import open_torchscript
from service.engines.triton import TritonEngine
from service.enrolment import Enrolment
from service.errors import CatalogError, GatewayError, LifespanError
from service.galleries.base import GalleryStore
from service.galleries.local import LocalGalleries
from service.identification import Identification
from service.live_catalog import LiveCatalog
from service.metrics import Metrics, create_metrics
from service.migration.backfill import Backfill, BackfillBounds
from service.migration.gateways import Gateways
from service.migration.jobs import Migrations
from service.migration.pace import Pace
from service.migration.plan import Planner
from service.migration.routeless import Routeless
from service.migration.sampling import SAMPLE_FACES_MAX
from service.migration.shadow import PROBES_MAX, Shadow
from service.migration.traffic import LiveTraffic
from service.observation import Observation
from service.problems import Problem, add_problem_handlers
from service.readiness import ReadinessCheck
from service.routes.parts import Parts
from service.routes.table import ROUTERS
from service.settings import EngineKind, Settings, StoreKind
from service.translation import BATCH_ROWS_MAX, Translation

logger = logging.getLogger(__name__)

# FastAPI's own would put the texts of errors, which may quote features, into spans and logs wherever OpenTelemetry is
# configured, and looks at every request whether it is. Versions without it take no notice.
NO_TELEMETRY: Final[dict[str, Any]] = {"telemetry": {"tracing": False, "metrics": False, "logs": False}}
TRITON_CALLS_AT_ONCE = 2  # of a translator: one is computed while the next is on its way


def create_app(settings: Settings) -> FastAPI:
    """The gateway as an ASGI application. Engine, store and catalogue open when it starts and close when it stops.

    Raises:
        KeysFileError: the API keys file cannot be used.
    """
    metrics = create_metrics()
    access = Access(settings.api_keys_file)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with _in_our_words():
            async with _open_parts(settings, metrics, access) as app.state.parts:
                yield

    app = FastAPI(
        title="R3AN gateway",
        version=version("r3an"),
        description="Use the face features of one encoder in another encoder's gallery.",
        lifespan=lifespan,
        redoc_url=None,
        **NO_TELEMETRY,
        generate_unique_id_function=_operation_id,
    )
    app.add_middleware(Observation, metrics=metrics)
    add_problem_handlers(app)
    for router in ROUTERS:
        app.include_router(router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign] # FastAPI's own way of extending the schema
    return app


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Keep the texts of foreign errors, which quote what they failed on, out of the traceback that a server prints."""
    try:
        yield
    except (CatalogError, GatewayError) as error:
        raise LifespanError(f"{type(error).__name__}: {error}") from None
    except Exception as error:
        logger.exception("unforeseen failure of the start or the end")
        raise LifespanError(f"unforeseen {type(error).__name__}; the log has its place") from None


@asynccontextmanager
async def _open_parts(settings: Settings, metrics: Metrics, access: Access) -> AsyncIterator[Parts]:
    async with AsyncExitStack() as stack:
        engine = await _open_engine(settings)
        stack.push_async_callback(engine.close)
        galleries = await _open_galleries(settings)
        stack.push_async_callback(galleries.close)
        # No request outlives its deadline, so neither does its use of a version that was replaced.
        catalog = LiveCatalog(settings.model_repository, engine, metrics, retire_after_s=settings.timeout_ms / 1000 + 1)
        await catalog.reload()
        rows = InFlight(settings.rows_in_flight_max, "features", metrics.rows_in_flight)
        translation = Translation(catalog, engine, rows, metrics)
        # Migrations have a bound of their own, so that they take no place of a request's features.
        migration_rows = InFlight(_migration_rows_max(settings), "features", metrics.migration_rows_in_flight)
        migrating = Translation(catalog, engine, migration_rows, metrics)
        shadow = Shadow(galleries, migrating, metrics, settings.shadow_share, settings.timeout_ms)
        woken = asyncio.Event()
        parts = Parts(
            settings=settings,
            metrics=metrics,
            access=access,
            requests=InFlight(settings.requests_in_flight_max, "requests", metrics.http_requests_in_flight),
            door=Door(),
            catalog=catalog,
            translation=translation,
            galleries=galleries,
            identification=Identification(translation, galleries, catalog, metrics, shadow),
            enrolment=Enrolment(translation, galleries, catalog, metrics),
            traffic=LiveTraffic(),
            migrations=Migrations(galleries, catalog, Planner(galleries, catalog, migrating), woken.set),
            readiness=ReadinessCheck(catalog, engine, galleries),
        )
        # Apart, so that a revoked key does not wait for an engine that hangs.
        looks = (partial(_look_at_repository, parts), partial(_look_at_keys, parts))
        gateways = Gateways(galleries, parts.traffic)
        backfill = _backfill(parts, migrating, gateways, woken, shadow)
        for work in (
            *(_keep_looking(look, settings.reload_interval_s) for look in looks),
            gateways.run(),
            backfill.run(),
            shadow.run(),
        ):
            stack.push_async_callback(_cancel, asyncio.create_task(work))
        yield parts


def _migration_rows_max(settings: Settings) -> int:
    return settings.migration_batches_at_once * settings.migration_batch_faces + SAMPLE_FACES_MAX + PROBES_MAX


def _backfill(
    parts: Parts, translation: Translation, gateways: Gateways, woken: asyncio.Event, shadow: Shadow
) -> Backfill:
    settings = parts.settings
    bounds = BackfillBounds(
        batch_faces=settings.migration_batch_faces,
        batches_at_once=settings.migration_batches_at_once,
        lease_ms=settings.migration_lease_ms,
        poll_s=settings.migration_poll_s,
    )
    routeless, pace = Routeless(parts.catalog), Pace(gateways, settings.migration_share)
    return Backfill(
        parts.migrations,
        parts.galleries,
        translation,
        routeless,
        pace,
        parts.metrics,
        bounds,
        woken,
        shadow.watch,
    )


async def _open_engine(settings: Settings) -> Engine:
    if settings.engine is EngineKind.TRITON:
        triton = await TritonEngine.open(settings.triton_url, settings.model_repository)
        return _joined(triton, TRITON_CALLS_AT_ONCE, settings)
    if settings.engine is EngineKind.ECHO:
        return EchoEngine()
    open_engine = open_onnxruntime if settings.engine is EngineKind.ONNXRUNTIME else open_torchscript
    threads = settings.engine_threads
    engine = await open_engine(settings.model_repository, threads=threads, queue_max=settings.engine_queue_max)
    return _joined(engine, threads, settings)


def _joined(engine: Engine, calls_at_once: int, settings: Settings) -> JoinedEngine:
    return JoinedEngine(
        engine, rows_max=BATCH_ROWS_MAX, calls_at_once=calls_at_once, wait_ms_max=settings.engine_wait_ms_max
    )


async def _open_galleries(settings: Settings) -> GalleryStore:
    faces_max, galleries_max, timeout_ms = settings.faces_max, settings.galleries_max, settings.timeout_ms
    if settings.gallery_store is StoreKind.REDIS:
        from service.galleries.redis import RedisGalleries  # noqa: PLC0415 - the local store needs no client of Redis

        url = settings.redis_url.get_secret_value()
        return await RedisGalleries.open(url, faces_max=faces_max, galleries_max=galleries_max, timeout_ms=timeout_ms)
    return await asyncio.to_thread(
        LocalGalleries.open,
        settings.gallery_dir,
        faces_max=faces_max,
        galleries_max=galleries_max,
        timeout_ms=timeout_ms,
    )


async def _keep_looking(look: Callable[[], Awaitable[None]], interval_s: float) -> None:
    """Look now and then, until cancelled; one look that fails is no reason not to look again."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            await look()
        except Exception:
            logger.exception("unforeseen failure of a look at what may have changed")


async def _look_at_repository(parts: Parts) -> None:
    with suppress(CatalogError):  # logged and counted where it arose; the catalogue of before serves on
        await parts.catalog.reload()


async def _look_at_keys(parts: Parts) -> None:
    try:
        await asyncio.to_thread(parts.access.reload)
    except KeysFileError as error:
        logger.error("API keys refused: %s", error)  # noqa: TRY400 - one line; the reason says all


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _operation_id(route: APIRoute) -> str:
    return route.name


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's schema with our problem in place of its validation error, which no client ever gets."""
    if app.openapi_schema is None:
        schema = FastAPI.openapi(app)
        schemas = schema["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas[Problem.__name__] = Problem.model_json_schema()
        for operation in (o for path in schema["paths"].values() for o in path.values()):
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    return app.openapi_schema or {}
