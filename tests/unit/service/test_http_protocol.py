"""Bounds of heads and connections, over real sockets."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from fastapi import FastAPI, Request

from deploy.process import wait_until
from service import http_protocol
from service.http_protocol import HEAD_BYTES_MAX
from tests.gateway import running_app

CONNECTIONS_MAX = 3
TIMEOUT_S = 30.0
FIRST_READ_BYTES = 256 * 1024  # the server's largest read, which is not counted before it is parsed


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    app = FastAPI()

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    with running_app(app, CONNECTIONS_MAX) as url:
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
    body = b"a" * (4 * HEAD_BYTES_MAX + FIRST_READ_BYTES)
    with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
        for _ in range(3):  # over one connection
            assert client.post("/length", content=body).json() == len(body)


def test_requests_that_arrive_together_are_all_answered(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(request(b"a" * 1000) + request(b"b" * 2000) + request(b"c", b"connection: close"))
        received = answer(connection)
    assert received.count(b"HTTP/1.1 200 OK") == 3


def test_a_slow_head_ends_its_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", 0.05)
    with connected(url) as silent, connected(url) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nx: ")
        assert answer(silent) == b""
        assert answer(slow) == b""


def test_a_slow_body_is_no_slow_head(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", 0.05)
    with connected(url) as slow:
        whole = request(b"abc", b"connection: close")
        slow.sendall(whole[:-1])
        with connected(url) as silent:
            assert answer(silent) == b""  # a time-out has passed
        slow.sendall(whole[-1:])
        assert answer(slow).endswith(b"3")


def test_connections_beyond_the_bound_are_closed_and_room_is_given_back(url: str) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connected(url)) for _ in range(CONNECTIONS_MAX)]
        assert [asked(connection, b"abc") for connection in held] == [b"3"] * CONNECTIONS_MAX
        with connected(url) as refused:
            assert answer(refused) == b""
        assert asked(held[0], b"abcd") == b"4"
    wait_until(lambda: is_served(url), TIMEOUT_S, "room for a connection")


def asked(connection: socket.socket, body: bytes) -> bytes:
    """The answer to one request on a connection that stays open."""
    connection.sendall(request(body))
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
