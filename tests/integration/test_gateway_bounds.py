"""Bounds over real HTTP: bodies, requests and rows in flight, deadlines, clients that go away."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deploy.process import wait_until
from deploy.redis.start import RedisServer
from tests.gateway import development_settings, running_gateway
from tests.repository import SOURCE, TARGET, write_translator

DEADLINE_S = 60
BODY = {"source_model": SOURCE.id, "features": [[1.0] * SOURCE.dim]}


@contextmanager
def gateway(directory: Path, **changes: object) -> Iterator[httpx.Client]:
    write_translator(directory / "model_repository")
    with running_gateway(development_settings(directory, **changes)) as client:
        yield client


@contextmanager
def unfinished_request(client: httpx.Client) -> Iterator[socket.socket]:
    """A request whose body has not arrived in full."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=DEADLINE_S) as connection:
        connection.sendall(b"POST /translate HTTP/1.1\r\nHost: gateway\r\nContent-Length: 1000\r\n\r\n{")
        wait_until(lambda: metric(client, "r3an_http_requests_in_flight") == 1, DEADLINE_S, "the request to arrive")
        yield connection


def metric(client: httpx.Client, name: str, **labels: str) -> float:
    """Sum of a metric's series that carry these labels."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    lines = client.get("/metrics").text.splitlines()
    series = [line for line in lines if line.startswith((f"{name} ", f"{name}{{")) and all(w in line for w in wanted)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in series)


def test_requests_beyond_the_bound_are_refused_until_one_ends(tmp_path: Path) -> None:
    with gateway(tmp_path, requests_in_flight_max=1) as client:
        with unfinished_request(client):
            answer = client.post("/translate", json=BODY)
            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
            assert answer.headers["retry-after"] == "1"
            assert client.get("/health/live").status_code == 200
        wait_until(lambda: client.post("/translate", json=BODY).status_code == 200, DEADLINE_S, "room for a request")


def test_a_client_that_goes_away_is_no_failure_of_ours(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with gateway(tmp_path) as client:
        with unfinished_request(client):
            pass
        gone = {"route": "/translate", "status": "499"}
        wait_until(lambda: metric(client, "r3an_http_requests_total", **gone) == 1, DEADLINE_S, "the end of it")
        assert metric(client, "r3an_http_requests_in_flight") == 0
    assert "unforeseen" not in caplog.text


def test_a_body_that_does_not_arrive_meets_the_deadline(tmp_path: Path) -> None:
    with gateway(tmp_path, timeout_ms=1000) as client, unfinished_request(client) as connection:
        head, _, problem = received(connection).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 504 ")
        assert json.loads(problem)["code"] == "deadline-exceeded"


def received(connection: socket.socket) -> bytes:
    """An answer up to the end of its JSON."""
    answer = b""
    while b"}" not in answer:
        answer += connection.recv(65_536)
    return answer


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_bound_is_refused_with_or_without_its_length(tmp_path: Path, chunked: bool) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * 1024

    with gateway(tmp_path, body_bytes_max=32 * 1024) as client:
        answer = client.post("/translate", content=pieces() if chunked else b"".join(pieces()))
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
        assert client.post("/translate", json=BODY).status_code == 200


def test_rows_beyond_the_bounds_are_refused(tmp_path: Path) -> None:
    with gateway(tmp_path, rows_max=4, rows_in_flight_max=4) as client:
        answer = client.post("/translate", json=BODY | {"features": [[1.0] * SOURCE.dim] * 5})
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
        assert client.get("/info").json()["limits"]["rows_max"] == 4


def test_the_gateway_reports_what_it_did(tmp_path: Path) -> None:
    with gateway(tmp_path) as client:
        answer = client.post("/translate", json=BODY | {"features": [[1.0] * SOURCE.dim] * 3})
        assert answer.headers["server-timing"].startswith("queue;dur=")
        labels = {"engine": "echo", "translator": answer.json()["translator"]["id"]}
        assert metric(client, "r3an_translated_rows_total", **labels) == 3
        assert metric(client, "r3an_request_rows_sum", route="/translate") == 3
        assert metric(client, "r3an_engine_duration_seconds_count", **labels) == 1


@contextmanager
def stopped(server: RedisServer) -> Iterator[None]:
    """The server holds its connections and answers nothing."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def test_no_route_waits_longer_than_the_deadline_for_a_store_that_hangs(tmp_path: Path) -> None:
    probe = {"source_model": TARGET.id, "gallery": "staff", "features": [[1.0] * TARGET.dim]}
    with (
        RedisServer() as redis,
        gateway(tmp_path, timeout_ms=500, gallery_store="redis", redis_url=redis.url) as client,
    ):
        client.put("/galleries/staff", json={"model": TARGET.id}).raise_for_status()
        with stopped(redis):
            for method, path, body in [
                ("GET", "/galleries", None),
                ("GET", "/galleries/staff", None),
                ("PUT", "/galleries/staff", {"model": TARGET.id}),
                ("DELETE", "/galleries/staff/faces/a", None),
                ("POST", "/search", probe),
            ]:
                started = time.monotonic()
                answer = client.request(method, path, json=body)
                assert answer.status_code in {503, 504}, path
                assert time.monotonic() - started < 5, path
        wait_until(lambda: client.get("/galleries/staff").status_code == 200, DEADLINE_S, "the store")


def test_malformed_faces_in_any_number_cost_no_more_than_their_bytes(tmp_path: Path) -> None:
    with gateway(tmp_path) as client:
        client.put("/galleries/staff", json={"model": TARGET.id}).raise_for_status()
        body = {"source_model": TARGET.id, "features": [[1.0] * TARGET.dim]}
        # Each face once cost an error object of a kilobyte, and a second for every few ten thousand.
        faces = [{"a": 1}] * 1_000_000
        started = time.monotonic()
        answer = client.post("/galleries/staff/faces", json=body | {"faces": faces})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
        assert answer.json()["detail"] == "faces: 1000000 where features has 1"
        assert time.monotonic() - started < 10
