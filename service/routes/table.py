"""The whole HTTP interface, router by router."""

from typing import Final

from service.routes import catalog, galleries, health, search, translate

ROUTERS: Final = (translate.router, search.router, galleries.router, catalog.router, health.router)
