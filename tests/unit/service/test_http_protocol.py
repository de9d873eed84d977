"""Bounds of heads and connections, over real sockets."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from deploy.process import wait_until
from service import http_protocol
from service.http_protocol import HEAD_BYTES_MAX, ConnectionBounds
from tests.gateway import running_app

CONNECTIONS_MAX = 3
TIMEOUT_S = 30.0
MESSAGE_BYTES_MAX = 4 * 1024**2
LONG_ANSWER_BYTES = 32 * 1024**2
BOUNDS = ConnectionBounds(CONNECTIONS_MAX, MESSAGE_BYTES_MAX, message_timeout_s=60)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    app = FastAPI()

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @app.post("/unread")
    async def unread() -> str:
        return "answered"

    @app.get("/long")
    async def long() -> Response:
        return Response(b"a" * LONG_ANSWER_BYTES)

    return app


@pytest.fixture(scope="module")
def url(app: FastAPI) -> Iterator[str]:
    with running_app(app, BOUNDS) as url:
        yield url


@pytest.fixture
def hasty_url(app: FastAPI) -> Iterator[str]:
    """A server that waits a twentieth of a second for a message."""
    with running_app(app, replace(BOUNDS, message_timeout_s=0.05)) as url:
        yield url


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    parsed = httpx.URL(url)
    with socket.create_connection((parsed.host, parsed.port), timeout=TIMEOUT_S) as connection:
        yield connection


def answer(connection: socket.socket) -> bytes:
    """Everything until the server closes; a reset is an end too."""
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionError:
        pass
    return received


def request(body: bytes, header: bytes = b"x: y") -> bytes:
    return b"POST /length HTTP/1.1\r\nhost: a\r\n%s\r\ncontent-length: %d\r\n\r\n%s" % (header, len(body), body)


def test_a_head_without_end_is_refused(url: str) -> None:
    with connected(url) as connection:
        sent = 0
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nx: ")
            while sent < 50 * HEAD_BYTES_MAX:
                connection.sendall(b"a" * 16_384)
                sent += 16_384
        except ConnectionError:
            pass
        assert answer(connection).startswith(b"HTTP/1.1 431 ") or sent < 50 * HEAD_BYTES_MAX
    assert sent < 50 * HEAD_BYTES_MAX, "the server read on"


def test_a_long_body_is_no_long_head(url: str) -> None:
    body = b"a" * (10 * HEAD_BYTES_MAX)
    with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
        for _ in range(3):  # over one connection
            assert client.post("/length", content=body).json() == len(body)


def test_requests_that_arrive_together_are_all_answered(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(request(b"a" * 1000) + request(b"b" * 2000) + request(b"c", b"connection: close"))
        received = answer(connection)
    assert received.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("header", [b"x: " + b"a" * HEAD_BYTES_MAX, b"a: b\r\n" * 20_000 + b"x: y"])
def test_a_long_head_is_refused_though_it_arrives_at_once(url: str, header: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(request(b"abc", header))
        assert answer(connection).startswith(b"HTTP/1.1 431 ")


def test_a_head_within_the_bound_is_read(url: str) -> None:
    with connected(url) as connection:
        assert asked(connection, b"abc", b"x: " + b"a" * (HEAD_BYTES_MAX - 1000)) == b"3"


def test_a_message_beyond_its_bytes_ends_its_connection(url: str) -> None:
    head = b"POST /unread HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
    with connected(url) as connection:
        sent = 0
        try:
            connection.sendall(head)
            while sent < 50 * MESSAGE_BYTES_MAX:  # trailers without end
                connection.sendall(b"a: b\r\n" * 4096)
                sent += 6 * 4096
        except ConnectionError:
            pass
    assert sent < 50 * MESSAGE_BYTES_MAX, "the server read on"


def test_a_message_that_never_ends_ends_its_connection(hasty_url: str) -> None:
    starts = [
        b"",  # nothing at all
        b"\r\n",  # no message yet
        b"GET / HTTP/1.1\r\nx: ",  # a head
        request(b"abc").replace(b"/length", b"/unread")[:-1],  # a body, answered without it
    ]
    for start in starts:
        with connected(hasty_url) as connection:
            connection.sendall(start)
            assert (b"answered" in answer(connection)) is (b"/unread" in start)


def test_a_connection_is_kept_between_messages(hasty_url: str) -> None:
    with connected(hasty_url) as kept:
        assert asked(kept, b"abc") == b"3"
        with connected(hasty_url) as silent:
            assert answer(silent) == b""  # the time of a message has passed
        assert asked(kept, b"abcd") == b"4"


def test_a_client_that_does_not_read_loses_its_connection(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "READ_TIMEOUT_S", 0.05)
    with running_app(app, replace(BOUNDS, connections_max=1)) as url, connected(url) as idle:
        idle.sendall(b"GET /long HTTP/1.1\r\nhost: a\r\n\r\n")
        wait_until(lambda: is_served(url), TIMEOUT_S, "the place of the client that does not read")


def test_connections_beyond_the_bound_are_closed_and_room_is_given_back(url: str) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connected(url)) for _ in range(CONNECTIONS_MAX)]
        assert [asked(connection, b"abc") for connection in held] == [b"3"] * CONNECTIONS_MAX
        with connected(url) as refused:
            assert answer(refused) == b""
        assert asked(held[0], b"abcd") == b"4"
    wait_until(lambda: is_served(url), TIMEOUT_S, "room for a connection")


def asked(connection: socket.socket, body: bytes, header: bytes = b"x: y") -> bytes:
    """The answer to one request on a connection that stays open."""
    connection.sendall(request(body, header))
    received = b""
    while not received.partition(b"\r\n\r\n")[2]:
        part = connection.recv(65_536)
        if not part:
            raise ConnectionError("closed")
        received += part
    return received.partition(b"\r\n\r\n")[2]


def is_served(url: str) -> bool:
    with connected(url) as connection:
        try:
            return asked(connection, b"ab") == b"2"
        except ConnectionError:
            return False
