"""The whole HTTP interface, router by router."""

from typing import Final

from service.routes import catalog, health, translate

ROUTERS: Final = (translate.router, catalog.router, health.router)
