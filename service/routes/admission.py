"""The way into a route: the caller's key and scope, a place among the requests in flight, the deadline."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from fastapi import Request

from service.access import Scope
from service.callers import CALLER
from service.errors import DeadlineExceededError, EngineOverloadedError
from service.routes.bodies import declared_bytes
from service.routes.parts import deadline_of, parts_of

# The engine and the store keep the deadline themselves and say which of them was late; this is for all else.
GRACE_S = 0.25


@asynccontextmanager
async def admission(request: Request, scope: Scope, *, quietly: bool = False) -> AsyncIterator[None]:
    """Let in a request whose key has the scope, with a place among those in flight for the length of the block.

    Until the deadline, which ends whatever the block waits for. The block ends when the answer is made, not when it is
    sent: a slow reader is the server's to bear. Quietly: to watch a migration is not the live traffic that slows it.

    Raises:
        UnauthenticatedError, ForbiddenError, QuotaExceededError, OverloadedError, DeadlineExceededError.
    """
    parts = parts_of(request)
    caller = parts.access.authorize(key_of(request), scope)
    CALLER.set(caller)
    remaining_s = deadline_of(request).remaining_ms() / 1000
    parts.door.pass_through(caller, parts.requests.held_by(caller), declared_bytes(request))
    with parts.requests.hold(1), nullcontext() if quietly else parts.traffic.request():
        try:
            async with asyncio.timeout(remaining_s + GRACE_S):
                yield
        except TimeoutError:
            raise DeadlineExceededError("the request was not answered before the deadline") from None
        except EngineOverloadedError:
            parts.door.shut(caller, parts.requests.held_by(caller) - 1, declared_bytes(request))
            raise


def key_of(request: Request) -> str | None:
    """The API key that a request presents, in either header; RFC 6750, section 2.1, for the first of them."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key")
