"""The whole HTTP interface, router by router."""

from typing import Final

from service.routes import (
    approximations,
    catalog,
    faces,
    galleries,
    health,
    migrations,
    originals,
    search,
    subjects,
    translate,
)

ROUTERS: Final = (
    translate.router,
    search.router,
    galleries.router,
    approximations.router,
    faces.router,
    subjects.router,
    originals.router,
    migrations.router,
    catalog.router,
    health.router,
)
