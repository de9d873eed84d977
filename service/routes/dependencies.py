"""What routes ask for: the gateway's parts, a scope, a place among the requests in flight, the deadline."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.access import Access, Scope
from service.bounds import Deadline, InFlight
from service.enrolment import Enrolment
from service.errors import DeadlineExceededError
from service.galleries.base import GalleryStore
from service.identification import Identification
from service.live_catalog import LiveCatalog
from service.metrics import Metrics
from service.migration.jobs import Migrations
from service.migration.traffic import LiveTraffic
from service.readiness import ReadinessCheck
from service.settings import Settings
from service.timings import Timings
from service.translation import Translation

# The engine and the store keep the deadline themselves and say which of them was late; this is for all else.
GRACE_S = 0.25

_bearer = HTTPBearer(auto_error=False, description="`Authorization: Bearer r3an_<id>_<secret>`")
_api_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="`X-API-Key: r3an_<id>_<secret>`")


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything `create_app` put together, in `app.state.parts` while the app runs."""

    settings: Settings
    metrics: Metrics
    access: Access
    requests: InFlight
    catalog: LiveCatalog
    translation: Translation
    galleries: GalleryStore
    identification: Identification
    enrolment: Enrolment
    traffic: LiveTraffic
    migrations: Migrations
    readiness: ReadinessCheck


# Coroutine functions, which run where they are: FastAPI sends plain ones through a thread, there and back.
async def get_parts(request: Request) -> Parts:
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


async def get_timings(request: Request) -> Timings:
    """Where a route notes what took time; sent as Server-Timing."""
    timings: Timings = request.state.timings
    return timings


TimingsDependency = Annotated[Timings, Depends(get_timings)]


async def get_deadline(parts: PartsDependency, timings: TimingsDependency) -> Deadline:
    """The request's deadline, counted from its arrival."""
    return Deadline(timings.arrived_at + parts.settings.timeout_ms / 1000)


DeadlineDependency = Annotated[Deadline, Depends(get_deadline)]


async def _admit_quietly(parts: PartsDependency, deadline: DeadlineDependency) -> AsyncIterator[None]:
    with parts.requests.hold(1):
        try:
            async with asyncio.timeout(deadline.remaining_ms() / 1000 + GRACE_S):
                yield
        except TimeoutError:
            raise DeadlineExceededError("the request was not answered before the deadline") from None


# A place among the requests in flight until the deadline, which ends whatever the route then waits for. OverloadedError
# when there is no place. Until the answer is made, not until it is sent: a slow reader is the server's to bear.
# Quietly: to watch a migration is not the live traffic that slows it down.
admitted_quietly = Depends(_admit_quietly, scope="function")


async def _admit(parts: PartsDependency, _: Annotated[None, admitted_quietly]) -> AsyncIterator[None]:
    with parts.traffic.request():
        yield


admitted = Depends(_admit, scope="function")
