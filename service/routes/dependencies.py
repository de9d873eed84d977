"""What most routes ask FastAPI for: the gateway's parts, the deadline, and that their requests be let in."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.access import Scope
from service.bounds import Deadline
from service.routes.admission import admission, key_of
from service.routes.parts import Parts, deadline_of, parts_of

_bearer = HTTPBearer(auto_error=False, description="`Authorization: Bearer r3an_<id>_<secret>`")
_api_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="`X-API-Key: r3an_<id>_<secret>`")
# For OpenAPI; the key itself is read by `key_of`.
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
ApiKey = Annotated[str | None, Depends(_api_key)]
# What they say there, for routes that let their requests in themselves. FastAPI takes ten microseconds and more for a
# dependency, whatever it does: too much for routes that are asked thousands of times a second.
KEYED: dict[str, Any] = {"security": [{"HTTPBearer": []}, {"APIKeyHeader": []}]}


# Coroutine functions, which run where they are: FastAPI sends plain ones through a thread, there and back.
async def get_parts(request: Request) -> Parts:
    """`parts_of` as a dependency."""
    return parts_of(request)


async def get_deadline(request: Request) -> Deadline:
    """`deadline_of` as a dependency."""
    return deadline_of(request)


PartsDependency = Annotated[Parts, Depends(get_parts)]
DeadlineDependency = Annotated[Deadline, Depends(get_deadline)]


def requires(scope: Scope | None) -> Callable[..., Awaitable[None]]:
    """A dependency that passes requests whose key has the scope; None asks for any valid key."""

    async def authorize(request: Request, _bearer: Bearer, _api_key: ApiKey) -> None:
        parts_of(request).access.authorize(key_of(request), scope)

    return authorize


def admitted(scope: Scope, *, quietly: bool = False) -> Any:  # noqa: ANN401 - as FastAPI's Depends
    """`admission` as a dependency."""

    async def admit(request: Request, _bearer: Bearer, _api_key: ApiKey) -> AsyncIterator[None]:
        async with admission(request, scope, quietly=quietly):
            yield

    return Depends(admit, scope="function")
