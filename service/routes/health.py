"""GET /health/live, /health/ready and /metrics: for probes and Prometheus, without a key; they tell no secret."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict

from service.routes.dependencies import PartsDependency


class Live(BaseModel):
    """The process answers."""

    model_config = ConfigDict(extra="forbid")

    live: bool


class Ready(BaseModel):
    """What is ready: a translator, the engine, the gallery store."""

    model_config = ConfigDict(extra="forbid")

    ready: bool
    catalog: bool
    engine: bool
    galleries: bool


router = APIRouter(tags=["health"])


@router.get("/health/live", summary="Whether the process answers")
async def live() -> Live:
    """Restart the gateway when this fails."""
    return Live(live=True)


@router.get("/health/ready", summary="Whether a request would be served", responses={503: {"model": Ready}})
async def ready(parts: PartsDependency, response: Response) -> Ready:
    """Send no traffic while this answers 503. Asked of the engine by a real inference, at most once a second."""
    state = await parts.readiness.now()
    response.status_code = 200 if state.ready else 503
    return Ready(ready=state.ready, catalog=state.catalog, engine=state.engine, galleries=state.galleries)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(parts: PartsDependency) -> Response:
    """Names and labels stand in docs/operations.md."""
    return Response(parts.metrics.text(), media_type=CONTENT_TYPE_LATEST)
