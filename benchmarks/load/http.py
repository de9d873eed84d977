"""One keep-alive connection of HTTP/1.1, as bare as it can be: the generator shares its machine with the server."""

import asyncio
import re
from typing import Final, cast

from benchmarks.load.answers import FAILED, Reply

HEAD_END: Final = b"\r\n\r\n"
LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
RETRY_AFTER: Final = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
TOTAL: Final = re.compile(rb"\r\nserver-timing:[^\r]*total;dur=([\d.]+)", re.IGNORECASE)
INFERENCE: Final = re.compile(rb"\r\nserver-timing:[^\r]*inference;dur=([\d.]+)", re.IGNORECASE)


class UnreadableAnswerError(Exception):
    """The server answers in a way that this client does not read."""


class Connection:
    """Sends one message again and again, one at a time, and connects anew when the server has closed."""

    def __init__(self, host: str, port: int, message: bytes) -> None:
        self._host = host
        self._port = port
        self._message = message
        self._wire: _Wire | None = None

    async def ask(self) -> Reply:
        """Send the message; return when the answer is whole, or the connection broke. Raises UnreadableAnswerError."""
        try:
            if self._wire is None or self._wire.closed:
                loop = asyncio.get_running_loop()
                _, self._wire = await loop.create_connection(_Wire, self._host, self._port)
            return await self._wire.ask(self._message)
        except OSError:
            return Reply(FAILED)

    def close(self) -> None:
        """Idempotent."""
        if self._wire is not None:
            self._wire.close()


class _Wire(asyncio.Protocol):
    def __init__(self) -> None:
        self.closed = True
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Reply] | None = None
        self._reply: Reply | None = None  # known when the head is
        self._head = b""
        self._left = 0  # bytes of the body

    def ask(self, message: bytes) -> asyncio.Future[Reply]:
        assert self._transport is not None  # noqa: S101 - connection_made came first
        self._answer = asyncio.get_running_loop().create_future()
        self._reply, self._head = None, b""
        self._transport.write(message)
        return self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.closed = cast(asyncio.Transport, transport), False

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            return
        if self._reply is None:
            head, end, body = (self._head + data).partition(HEAD_END)
            if not end:
                self._head = head
                return
            try:
                self._reply, self._left = read_head(head)
            except UnreadableAnswerError as error:
                self._answer.set_exception(error)
                return
            data = body
        self._left -= len(data)
        if self._left <= 0:
            self._answer.set_result(self._reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Reply(FAILED))


def read_head(head: bytes) -> tuple[Reply, int]:
    """What an answer's head says, and the bytes of its body.

    Raises:
        UnreadableAnswerError: it is no HTTP/1.1, or does not say how long the body is.
    """
    length = LENGTH.search(head)
    if not head.startswith(b"HTTP/1.1 ") or length is None:
        raise UnreadableAnswerError("an answer of HTTP/1.1 with Content-Length is expected")
    total, inference = TOTAL.search(head), INFERENCE.search(head)
    added_ms = None if total is None or inference is None else float(total[1]) - float(inference[1])
    retry = RETRY_AFTER.search(head)
    return Reply(int(head[9:12]), added_ms, float(retry[1]) if retry else 0.0), int(length[1])
