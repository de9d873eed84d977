"""What a route finds in its request: the gateway's parts, the times so far, the deadline."""

from dataclasses import dataclass

from fastapi import Request

from service.access import Access
from service.bounds import Deadline, InFlight
from service.door import Door
from service.enrolment import Enrolment
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


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything `create_app` put together, in `app.state.parts` while the app runs."""

    settings: Settings
    metrics: Metrics
    access: Access
    requests: InFlight
    door: Door
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
