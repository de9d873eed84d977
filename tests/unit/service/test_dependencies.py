"""What routes ask for."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from service.routes.table import ROUTERS

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def calls(dependant: Dependant) -> Iterator[Any]:
    """What is called for a request: the route, and all that it depends on."""
    yield dependant.call
    for other in dependant.dependencies:
        yield from calls(other)


def runs_on_the_loop(call: Any) -> bool:  # noqa: ANN401 - whatever FastAPI calls
    function = call if inspect.isfunction(call) else call.__call__
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{min(route.methods)} {route.path}")
def test_nothing_of_a_route_is_sent_through_a_thread(route: APIRoute) -> None:
    assert [call for call in calls(route.dependant) if not runs_on_the_loop(call)] == []
