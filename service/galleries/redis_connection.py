"""Redis within bounds: so many connections, so long a wait, so many commands at once; and its failures in our words."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from service.errors import GalleryUnavailableError

CONNECTIONS_MAX = 16
EXCHANGE_TIMEOUT_S = 10.0
PIPELINE_MAX = 64

logger = logging.getLogger(__name__)

Command = tuple[str | int | bytes, ...]


class CommandRefusedError(GalleryUnavailableError):
    """Redis answered with an error. Its text stays in `__cause__`: Redis repeats arguments in it."""


class RedisConnection:
    """Commands to one Redis. Every method raises GalleryUnavailableError when there is no answer in time.

    Nothing is sent twice: a write whose answer was lost may have been carried out, and its repetition would answer
    something else. A pooled connection that has died meanwhile is made anew before anything is sent.
    """

    def __init__(self, redis: Redis, timeout_s: float) -> None:
        self._redis = redis
        self._timeout_s = timeout_s
        self._exchange_timeout_s = min(EXCHANGE_TIMEOUT_S, timeout_s)

    @classmethod
    def open(cls, url: str, timeout_s: float = EXCHANGE_TIMEOUT_S) -> Self:
        """Prepare connections to `url`; the first is made at first use.

        `timeout_s` bounds an operation and, as 10 s do, each exchange: a connection, a command and its answer.
        """
        pool = BlockingConnectionPool.from_url(
            url,
            protocol=2,
            max_connections=CONNECTIONS_MAX,
            # Ours is around the whole exchange: redis-py's uses asyncio.wait_for, which may swallow a cancellation.
            timeout=None,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        return cls(Redis(connection_pool=pool), timeout_s)

    async def command(self, *command: str | int | bytes) -> Any:  # noqa: ANN401 - the command decides
        """The answer to one command. Raises CommandRefusedError."""
        async with _within(self._exchange_timeout_s):
            return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call] # redis-py leaves it so

    async def commands(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to many commands, sent in bounded pipelines. Raises CommandRefusedError if one is refused."""
        answers: list[Any] = []
        for start in range(0, len(commands), PIPELINE_MAX):
            pipeline = self._redis.pipeline(transaction=False)
            for command in commands[start : start + PIPELINE_MAX]:
                pipeline.execute_command(*command)
            async with _within(self._exchange_timeout_s):
                answers += await pipeline.execute()
        return answers

    async def script(self, script: str, keys: Sequence[str], *arguments: str | int | bytes) -> Any:  # noqa: ANN401
        """The answer of a Lua script, which Redis runs alone."""
        return await self.command("EVAL", script, len(keys), *keys, *arguments)

    def operation(self) -> AbstractAsyncContextManager[None]:
        """The bound around all exchanges of one operation."""
        return _within(self._timeout_s)

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()


@asynccontextmanager
async def _within(timeout_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except ResponseError as error:
        raise CommandRefusedError("the gallery store refused an operation") from error
    except TimeoutError as error:
        logger.warning("Redis does not answer in time")
        raise GalleryUnavailableError("the gallery store did not answer in time") from error
    except (RedisError, OSError) as error:
        logger.warning("Redis does not answer: %s", type(error).__name__)
        raise GalleryUnavailableError("the gallery store cannot be reached") from error
