"""What routes ask for: the gateway's parts, a scope, a place among the requests in flight, the deadline."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.access import Access, Scope
from service.bounds import Deadline, InFlight
from service.callers import CALLER
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
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
ApiKey = Annotated[str | None, Depends(_api_key)]


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


def parts_of(request: Request) -> Parts:
    """The running gateway's parts."""
    parts: Parts = request.app.state.parts
    return parts


def timings_of(request: Request) -> Timings:
    """Where a route notes what took time; sent as Server-Timing."""
    timings: Timings = request.state.timings
    return timings


def deadline_of(request: Request) -> Deadline:
    """The request's deadline, counted from its arrival."""
    return Deadline(timings_of(request).arrived_at + parts_of(request).settings.timeout_ms / 1000)


# Coroutine functions, which run where they are: FastAPI sends plain ones through a thread, there and back.
async def get_parts(request: Request) -> Parts:
    """`parts_of` as a dependency."""
    return parts_of(request)


async def get_deadline(request: Request) -> Deadline:
    """`deadline_of` as a dependency."""
    return deadline_of(request)


# For most routes. Those that are asked thousands of times a second take what they need from their request themselves:
# FastAPI takes some ten microseconds for a dependency, whatever it does.
PartsDependency = Annotated[Parts, Depends(get_parts)]
DeadlineDependency = Annotated[Deadline, Depends(get_deadline)]


def requires(scope: Scope | None) -> Callable[..., Awaitable[None]]:
    """A dependency that passes requests whose key has the scope; None asks for any valid key."""

    async def authorize(request: Request, bearer: Bearer, api_key: ApiKey) -> None:
        parts_of(request).access.authorize(bearer.credentials if bearer else api_key, scope)

    return authorize


def admitted(scope: Scope, *, quietly: bool = False) -> Any:  # noqa: ANN401 - as FastAPI's Depends
    """A dependency that passes requests whose key has the scope and gives each a place among those in flight.

    Until the deadline, which ends whatever the route then waits for; OverloadedError where there is no place. Until the
    answer is made, not until it is sent: a slow reader is the server's to bear. Quietly: to watch a migration is not
    the live traffic that slows it down.
    """

    async def admit(request: Request, bearer: Bearer, api_key: ApiKey) -> AsyncIterator[None]:
        parts = parts_of(request)
        CALLER.set(parts.access.authorize(bearer.credentials if bearer else api_key, scope))
        remaining_s = deadline_of(request).remaining_ms() / 1000
        with parts.requests.hold(1), nullcontext() if quietly else parts.traffic.request():
            try:
                async with asyncio.timeout(remaining_s + GRACE_S):
                    yield
            except TimeoutError:
                raise DeadlineExceededError("the request was not answered before the deadline") from None

    return Depends(admit, scope="function")
