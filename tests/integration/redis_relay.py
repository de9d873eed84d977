"""A relay before a real Redis that can hold a command back, or lose an answer after Redis has carried it out."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CHUNK_BYTES = 65_536
REACHED_S = 60.0


class RedisRelay:
    """Listens on loopback and passes on what it does not hold or lose. An asynchronous context manager."""

    def __init__(self, redis_url: str) -> None:
        self._redis = urlsplit(redis_url)
        self._held = b""
        self._passing = 0
        self._lost = b""
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.reached = asyncio.Event()  # a command is being held, or an answer was lost
        self.released = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.close()
        self.released.set()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._connections)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """URL for redis-py."""
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    def hold(self, command: bytes, passing: int = 0) -> None:
        """Keep one command that contains these bytes until `released` is set: the next, or the one after so many.

        Where the relay ends first it never reaches Redis.
        """
        self._held, self._passing = command, passing

    def lose(self, command: bytes) -> None:
        """Close the connection in place of answering the next command that contains these bytes."""
        self._lost = command

    async def wait_until_reached(self) -> None:
        """Until a command is being held, or an answer was lost."""
        async with asyncio.timeout(REACHED_S):
            await self.reached.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._writers.add(writer)
        redis_reader, redis_writer = await asyncio.open_connection(self._redis.hostname, self._redis.port)
        answers = asyncio.create_task(self._pass_on_answers(redis_reader, writer))
        try:
            with suppress(ConnectionError):
                while request := await reader.read(CHUNK_BYTES):
                    if self._is_held(request):
                        self.reached.set()
                        await self.released.wait()
                        if writer.is_closing():
                            break
                    lost = bool(self._lost) and self._lost in request
                    if lost:
                        self._lost = b""
                        answers.cancel()
                        await asyncio.wait([answers])
                    redis_writer.write(request)
                    if lost:
                        await redis_reader.read(CHUNK_BYTES)
                        self.reached.set()
                        break
        finally:
            answers.cancel()
            for end in (writer, redis_writer):
                end.close()

    def _is_held(self, request: bytes) -> bool:
        if not self._held or self._held not in request:
            return False
        if self._passing:
            self._passing -= 1
            return False
        self._held = b""
        return True

    @staticmethod
    async def _pass_on_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while answer := await reader.read(CHUNK_BYTES):
                writer.write(answer)
