"""What routes ask for: the gateway's parts, a scope, a place among the requests in flight, the deadline."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.access import Access, Scope
from service.bounds import Deadline, InFlight
from service.engines.base import Engine
from service.galleries.base import GalleryStore
from service.identification import Identification
from service.live_catalog import LiveCatalog
from service.metrics import Metrics
from service.readiness import ReadinessCheck
from service.settings import Settings
from service.timings import Timings
from service.translation import Translation

_bearer = HTTPBearer(auto_error=False, description="`Authorization: Bearer r3an_<id>_<secret>`")
_api_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="`X-API-Key: r3an_<id>_<secret>`")


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything `create_app` put together, in `app.state.parts` while the app runs."""

    settings: Settings
    metrics: Metrics
    access: Access
    requests: InFlight
    engine: Engine
    catalog: LiveCatalog
    translation: Translation
    galleries: GalleryStore
    identification: Identification
    readiness: ReadinessCheck


def get_parts(request: Request) -> Parts:
    """The running gateway's parts."""
    parts: Parts = request.app.state.parts
    return parts


PartsDependency = Annotated[Parts, Depends(get_parts)]


def requires(scope: Scope | None) -> Callable[..., Awaitable[None]]:
    """A dependency that passes requests whose key has the scope; None asks for any valid key."""

    async def authorize(
        parts: PartsDependency,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        api_key: Annotated[str | None, Depends(_api_key)],
    ) -> None:
        parts.access.authorize(bearer.credentials if bearer else api_key, scope)

    return authorize


async def admitted(parts: PartsDependency) -> AsyncIterator[None]:
    """Hold a place among the requests in flight. Raises OverloadedError when there is none."""
    with parts.requests.hold(1):
        yield


def get_timings(request: Request) -> Timings:
    """Where a route notes what took time; sent as Server-Timing."""
    timings: Timings = request.state.timings
    return timings


TimingsDependency = Annotated[Timings, Depends(get_timings)]


def get_deadline(parts: PartsDependency, timings: TimingsDependency) -> Deadline:
    """The request's deadline, counted from its arrival."""
    return Deadline(timings.arrived_at + parts.settings.timeout_ms / 1000)


DeadlineDependency = Annotated[Deadline, Depends(get_deadline)]
