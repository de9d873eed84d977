"""One Redis within bounds: so many connections, so long a wait, so many commands at once."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.errors import GalleryUnavailableError
from service.galleries.redis_commands import (
    CONNECTIONS_MAX,
    EXCHANGE_TIMEOUT_S,
    PIPELINE_MAX,
    Argument,
    Command,
    within,
)

REPLICA_TIMEOUT_MS = 2000


class RedisConnection:
    """Commands to one Redis, as `RedisCommands` describes.

    A pooled connection that has died meanwhile is made anew before anything is sent.
    """

    def __init__(self, redis: Redis, timeout_s: float, replicas: int = 0) -> None:
        """`replicas`: how many have to confirm a change before it is answered."""
        self._redis = redis
        self._replicas = replicas
        self._timeout_s = timeout_s
        self._exchange_timeout_s = min(EXCHANGE_TIMEOUT_S, timeout_s)

    @classmethod
    def open(cls, url: str, timeout_s: float = EXCHANGE_TIMEOUT_S, replicas: int = 0) -> Self:
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
        return cls(Redis(connection_pool=pool), timeout_s, replicas)

    async def command(self, *command: Argument) -> Any:  # noqa: ANN401 - the command decides
        """The answer to one command. Raises CommandRefusedError."""
        async with within(self._exchange_timeout_s):
            return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call] # redis-py leaves it so

    async def commands(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to many commands, sent in bounded pipelines. Raises CommandRefusedError if one is refused."""
        answers: list[Any] = []
        for start in range(0, len(commands), PIPELINE_MAX):
            pipeline = self._redis.pipeline(transaction=False)
            for command in commands[start : start + PIPELINE_MAX]:
                pipeline.execute_command(*command)
            async with within(self._exchange_timeout_s):
                answers += await pipeline.execute()
        return answers

    async def reachable(self, commands: Sequence[Command]) -> list[Any]:
        """The answers of the one server, which has them all or none."""
        return await self.commands(commands)

    async def read(self, script: str, key: str, *arguments: Argument) -> Any:  # noqa: ANN401
        """The answer of a Lua script that changes nothing."""
        return await self.command("EVAL", script, 1, key, *arguments)

    async def change(self, script: str, key: str, *arguments: Argument) -> Any:  # noqa: ANN401
        """The answer of a Lua script, which Redis runs alone."""
        if not self._replicas:
            return await self.command("EVAL", script, 1, key, *arguments)
        pipeline = self._redis.pipeline(transaction=False)  # one connection: WAIT is for what came over its own
        pipeline.execute_command("EVAL", script, 1, key, *arguments)
        pipeline.execute_command("WAIT", self._replicas, min(REPLICA_TIMEOUT_MS, int(self._exchange_timeout_s * 500)))
        async with within(self._exchange_timeout_s):
            answer, confirmed = await pipeline.execute(raise_on_error=False)
            if isinstance(answer, Exception):
                raise answer
        if not isinstance(confirmed, int) or confirmed < self._replicas:
            raise GalleryUnavailableError("no replica has confirmed the change")
        return answer

    async def everywhere(self, *command: Argument) -> list[Any]:
        """The answer of the one server."""
        return [await self.command(*command)]

    def operation(self) -> AbstractAsyncContextManager[None]:
        """The bound around all exchanges of one operation."""
        return within(self._timeout_s)

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()
