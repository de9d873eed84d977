"""One operation of the Redis store: the bound around all its steps, and Redis' refusals in our words."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from service.galleries.redis_commands import RedisCommands, refusals_in_our_words


class _Store(Protocol):
    _redis: RedisCommands


S = TypeVar("S", bound=_Store)
P = ParamSpec("P")
R = TypeVar("R")
Operation = Callable[Concatenate[S, P], Coroutine[Any, Any, R]]


def bounded(operation: Operation[S, P, R]) -> Operation[S, P, R]:
    """Bound all steps of a method together: many, each just in time, would outlast any deadline."""

    @wraps(operation)
    async def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with refusals_in_our_words():
            async with self._redis.operation():
                return await operation(self, *args, **kwargs)

    return run
