"""A Redis Cluster: each command goes to the server that holds its gallery, each change is confirmed by a replica.

One `RedisConnection` a server, and the map of slots in front of them. redis-py's own cluster client would send again
what may have been carried out, and cannot keep a change and its WAIT on one connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

from redis.crc import key_slot

from service.errors import GalleryUnavailableError
from service.galleries.redis_commands import (
    EXCHANGE_TIMEOUT_S,
    MOVED,
    Argument,
    Command,
    CommandRefusedError,
    RedisCommands,
    within,
)
from service.galleries.redis_connection import RedisConnection

CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
REPLICAS = 1  # that have to confirm a change
REDIRECTIONS_MAX = 3
DISCOVERY_TIMEOUT_S = 1.0  # of one server

T = TypeVar("T")


def connect(url: str, timeout_s: float) -> RedisCommands:
    """Connections to one Redis or, `redis+cluster://`, to a cluster."""
    if urlsplit(url).scheme in CLUSTER_SCHEMES:
        return RedisClusterConnection.open(url, timeout_s)
    return RedisConnection.open(url, timeout_s)


class _Range(NamedTuple):
    """Slots, both ends included, and the primary that holds them."""

    first: int
    last: int
    address: str


class RedisClusterConnection:
    """Commands to a cluster, as `RedisCommands` describes.

    What a server refuses as not its own was not carried out and is sent to the one it names. While a primary is down
    and its replica has not taken over, what lies there cannot be reached; the rest can.
    """

    def __init__(self, scheme: str, credentials: str, seeds: Sequence[str], timeout_s: float) -> None:
        self._scheme = scheme
        self._credentials = credentials
        self._seeds = tuple(seeds)
        self._timeout_s = timeout_s
        self._servers: dict[str, RedisConnection] = {}
        self._ranges: list[_Range] = []  # empty until it is known, and whenever it is in doubt
        self._discovery = asyncio.Lock()

    @classmethod
    def open(cls, url: str, timeout_s: float = EXCHANGE_TIMEOUT_S) -> Self:
        """Prepare connections to `redis+cluster://[user:password@]host:port[,host:port...]`, any servers of it."""
        parts = urlsplit(url)
        credentials, at, seeds = parts.netloc.rpartition("@")
        return cls(parts.scheme.removesuffix("+cluster"), credentials + at, seeds.split(","), timeout_s)

    async def command(self, *command: Argument) -> Any:  # noqa: ANN401 - the command decides
        """The answer to one command. Raises CommandRefusedError."""
        return await self._ask(_key_of(command), lambda server: server.command(*command))

    async def commands(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to many commands that change nothing, server by server. Raises CommandRefusedError."""
        return await self._ask_servers(commands, self._ask_together)

    async def reachable(self, commands: Sequence[Command]) -> list[Any]:
        """The answers as of `commands`, None where a server cannot be reached. Raises CommandRefusedError."""
        return await self._ask_servers(commands, self._ask_if_reachable)

    async def read(self, script: str, key: str, *arguments: Argument) -> Any:  # noqa: ANN401
        """The answer of a Lua script that changes nothing."""
        return await self._ask(key, lambda server: server.read(script, key, *arguments))

    async def change(self, script: str, key: str, *arguments: Argument) -> Any:  # noqa: ANN401
        """The answer of a Lua script, once a replica has what it changed."""
        return await self._ask(key, lambda server: server.change(script, key, *arguments))

    async def everywhere(self, *command: Argument) -> list[Any]:
        """The answers of all primaries that can be reached, at least one."""
        answers: list[Any] = []
        unreachable: GalleryUnavailableError | None = None
        for address in sorted({held.address for held in await self._known_ranges()}):
            try:
                answers.append(await self._server(address).command(*command))
            except GalleryUnavailableError as error:
                self._ranges = []
                unreachable = error
        if not answers:
            raise unreachable or GalleryUnavailableError("no server of the cluster holds anything")
        return answers

    def operation(self) -> AbstractAsyncContextManager[None]:
        """The bound around all exchanges of one operation."""
        return within(self._timeout_s)

    async def close(self) -> None:
        """Close every connection."""
        for server in self._servers.values():
            await server.close()

    async def _ask_servers(
        self, commands: Sequence[Command], ask: Callable[[Sequence[Command]], Awaitable[list[Any]]]
    ) -> list[Any]:
        ranges = await self._known_ranges()
        places: dict[str | None, list[int]] = {}
        for place, command in enumerate(commands):
            places.setdefault(_holder(ranges, _key_of(command)), []).append(place)
        answers: list[Any] = [None] * len(commands)
        for some in places.values():
            for place, answer in zip(some, await ask([commands[place] for place in some]), strict=True):
                answers[place] = answer
        return answers

    async def _ask_together(self, commands: Sequence[Command]) -> list[Any]:
        return await self._ask(_key_of(commands[0]), lambda server: server.commands(commands))

    async def _ask_if_reachable(self, commands: Sequence[Command]) -> list[Any]:
        try:
            async with within(self._timeout_s / 2):  # a server that hangs leaves the others their time
                return await self._ask_together(commands)
        except CommandRefusedError:
            raise
        except GalleryUnavailableError:
            return [None] * len(commands)

    async def _ask(self, key: str, ask: Callable[[RedisConnection], Awaitable[T]]) -> T:
        for _ in range(REDIRECTIONS_MAX):
            try:
                return await ask(self._server(await self._holder_of(key)))
            except CommandRefusedError as refused:
                if refused.code != MOVED:
                    raise
                self._ranges = []
            except GalleryUnavailableError:
                self._ranges = []
                raise
        raise GalleryUnavailableError("the servers of the cluster do not agree which of them holds the gallery")

    async def _holder_of(self, key: str) -> str:
        holder = _holder(await self._known_ranges(), key)
        if holder is None:
            self._ranges = []
            raise GalleryUnavailableError("no server of the cluster holds the gallery now")
        return holder

    async def _known_ranges(self) -> list[_Range]:
        if not self._ranges:
            async with self._discovery:
                if not self._ranges:
                    self._ranges = await self._discover()
        return self._ranges

    async def _discover(self) -> list[_Range]:
        """Ask one server after the other, those of the last map first."""
        for address in dict.fromkeys((*self._servers, *self._seeds)):
            try:
                async with within(DISCOVERY_TIMEOUT_S):
                    slots = await self._server(address).command("CLUSTER", "SLOTS")
            except GalleryUnavailableError:
                self._servers[address] = self._servers.pop(address)  # the last to be asked next time
                continue
            host = address.rpartition(":")[0]
            ranges = [_Range(first, last, _address(primary, host)) for first, last, primary, *_ in slots]
            if ranges:
                return ranges
        raise GalleryUnavailableError("no server of the cluster can be reached")

    def _server(self, address: str) -> RedisConnection:
        if address not in self._servers:
            url = f"{self._scheme}://{self._credentials}{address}/0"
            self._servers[address] = RedisConnection.open(url, self._timeout_s, REPLICAS)
        return self._servers[address]


def _key_of(command: Command) -> str:
    return str(command[1])


def _holder(ranges: Sequence[_Range], key: str) -> str | None:
    slot = key_slot(key.encode())
    return next((held.address for held in ranges if held.first <= slot <= held.last), None)


def _address(primary: Sequence[Any], host_asked: str) -> str:
    """`host:port` of a server as CLUSTER SLOTS names it; a server that does not know its host is the one asked."""
    host = primary[0].decode() if primary[0] else host_asked
    return f"[{host}]:{primary[1]}" if ":" in host and not host.startswith("[") else f"{host}:{primary[1]}"
