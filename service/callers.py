"""Who a request is from, for whatever shares out places and turns among callers."""

from contextvars import ContextVar
from typing import Final

ANYONE: Final = ""  # all callers together, where there are no API keys; no key has this id

# The id of the request's API key. None: the gateway itself, at work on a migration.
CALLER: ContextVar[str | None] = ContextVar("caller", default=None)
