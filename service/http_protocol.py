"""uvicorn's HTTP protocol with the bounds that it leaves to a proxy.

Connections, the bytes of a head and of a whole message, the time a message takes to arrive, and the time a client takes
to read. uvicorn offers no other place for them than a protocol class of one's own.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX: Final = 64 * 1024  # request target and headers
LINE_BYTES: Final = 4  # what frames a header: colon, space, end of line
READ_TIMEOUT_S: Final = 30.0  # for a client to take what it is sent
TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """What every client must keep to."""

    connections_max: int
    message_bytes_max: int  # head, body and the framing of its chunks
    message_timeout_s: float  # from a connection's start, or a message's first byte, to the message's last byte


class HeadTooLargeError(Exception):
    """Ends the parsing of a message."""


def bounded_protocol(bounds: ConnectionBounds) -> type[asyncio.Protocol]:
    """A protocol class for `uvicorn.Config(http=...)` that ends connections which exceed the bounds."""

    class BoundedProtocol(HttpToolsProtocol):
        """Counts and times each message; trailers, which nobody reads, are dropped."""

        _head_bytes = 0
        _message_bytes = 0
        _in_head = True
        _message_timer: asyncio.TimerHandle | None = None
        _read_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - narrower in uvicorn than in asyncio
            super().connection_made(transport)
            if len(self.connections) > bounds.connections_max:
                transport.close()
            self._await_message()

        def connection_lost(self, exc: Exception | None) -> None:
            _cancel(self._message_timer)
            _cancel(self._read_timer)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            timer = self._message_timer
            super().data_received(data)
            if self._message_timer is None and (self.cycle is None or self.cycle.response_complete):
                self._await_message()  # what came is no message yet, and has ended the wait for one
            elif timer is not None and timer is self._message_timer:  # all of it was of one message, which goes on
                self._message_bytes += len(data)
                if self._in_head and self._message_bytes > HEAD_BYTES_MAX:
                    self._head_bytes = self._message_bytes
                    self.send_400_response("")
                elif self._message_bytes > bounds.message_bytes_max:
                    self.transport.abort()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._await_message()

        def on_url(self, url: bytes) -> None:
            self._count_head(url)
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            if self._in_head:
                self._count_head(name, value)
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._in_head = False
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            _cancel(self._message_timer)
            self._message_timer = None
            super().on_message_complete()

        def send_400_response(self, msg: str) -> None:
            if self._head_bytes <= HEAD_BYTES_MAX:
                super().send_400_response(msg)
            elif not self.transport.is_closing():
                self.transport.write(TOO_LARGE)
                self._end()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._read_timer = self.loop.call_later(READ_TIMEOUT_S, self.transport.abort)

        def resume_writing(self) -> None:
            _cancel(self._read_timer)
            super().resume_writing()

        def timeout_keep_alive_handler(self) -> None:
            self._end()

        def _await_message(self) -> None:
            _cancel(self._message_timer)
            self._head_bytes = self._message_bytes = 0
            self._in_head = True
            self._message_timer = self.loop.call_later(bounds.message_timeout_s, self._end)

        def _count_head(self, *parts: bytes) -> None:
            self._head_bytes += sum(map(len, parts)) + LINE_BYTES
            if self._head_bytes > HEAD_BYTES_MAX:
                raise HeadTooLargeError  # the parser gives up, and uvicorn has `send_400_response` say so

        def _end(self) -> None:
            """Close once what was written has been read, or without that when it takes too long."""
            self.transport.close()
            _cancel(self._read_timer)
            self._read_timer = self.loop.call_later(READ_TIMEOUT_S, self.transport.abort)

    return BoundedProtocol


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
