"""uvicorn's HTTP protocol with the bounds that it leaves to a proxy: of heads, of the time they take, of connections.

uvicorn offers no other place for them than a protocol class of one's own.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX: Final = 64 * 1024  # request line and headers
HEAD_TIMEOUT_S: Final = 10.0  # from a connection's start, or a further request's first byte, to the end of its headers
TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def bounded_protocol(connections_max: int) -> type[asyncio.Protocol]:
    """A protocol class for `uvicorn.Config(http=...)` that holds at most `connections_max` connections."""

    class BoundedProtocol(HttpToolsProtocol):
        """Closes a connection beyond the bound at once, and one whose head is too long or too slow."""

        _head_bytes = 0
        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - narrower in uvicorn than in asyncio
            super().connection_made(transport)
            if len(self.connections) > connections_max:
                transport.close()
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._have_head()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            head = self._head_timer
            super().data_received(data)
            if head is not None and self._head_timer is head:  # all of it was of one head, which goes on
                self._head_bytes += len(data)
                if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                    self.transport.write(TOO_LARGE)
                    self.transport.close()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._await_head()

        def on_headers_complete(self) -> None:
            self._have_head()
            super().on_headers_complete()

        def _await_head(self) -> None:
            self._have_head()
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

        def _have_head(self) -> None:
            self._head_bytes = 0
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

    return BoundedProtocol
