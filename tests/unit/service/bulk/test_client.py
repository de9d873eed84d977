"""What the client makes of a gateway's answers. A real HTTP server gives the answers, one after another."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from service.bulk.client import PAUSE_S, WAIT_MAX_S, Gateway, describe_gallery
from service.bulk.errors import BulkError, GatewayProblemError, GatewayUnreachableError, StoppedError

PROBLEM = {"code": "not-finite", "detail": "row 3: holds NaN or infinity", "row": 3}


@dataclass
class Answers:
    """What is answered next, and what was asked."""

    left: list[tuple[int, dict[str, str], bytes]]
    asked: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""


@contextmanager
def answering(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[Answers]:
    said = Answers(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            said.asked.append(self.path)
            said.keys.append(self.headers["Authorization"])
            status, headers, body = said.left.pop(0)
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    said.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield said
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


FINE = (200, {}, b'{"fine": true}')


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_gateway_is_asked_again_when_it_says(status: int) -> None:
    pauses: list[float] = []
    busy = [(status, {"Retry-After": "7"}, b"{}"), (status, {}, b"{}"), (status, {"Retry-After": "soon"}, b"{}")]
    with answering(*busy, FINE) as said, Gateway(said.url, None, pause=pauses.append) as gateway:
        assert gateway.get("models") == {"fine": True}
    assert pauses == [7.0, PAUSE_S, PAUSE_S]


def test_waiting_has_a_bound() -> None:
    pauses: list[float] = []
    busy = (503, {"Retry-After": "50"}, b"{}")
    with answering(busy, busy, busy, busy) as said, Gateway(said.url, None, pause=pauses.append) as gateway:
        with pytest.raises(GatewayUnreachableError, match=f"503 .* waited {WAIT_MAX_S:g} s at most"):
            gateway.get("models")
        assert len(said.asked) == 3
    assert sum(pauses) <= WAIT_MAX_S


def test_waiting_ends_at_once_when_told_to_stop() -> None:
    with answering((503, {"Retry-After": "100"}, b"{}")) as said:
        stopped = threading.Event()
        stopped.set()
        with Gateway(said.url, None, stopped=stopped) as gateway, pytest.raises(StoppedError):
            gateway.get("models")


def test_a_lost_connection_is_made_anew_only_by_patient_requests() -> None:
    lost = (0, {}, b"")
    with answering(lost, FINE, lost) as said, Gateway(said.url, None, pause=lambda _: None) as gateway:
        assert gateway.get("models", patient=True) == {"fine": True}
        with pytest.raises(GatewayUnreachableError, match="no answer from"):
            gateway.get("models")


def test_a_problem_keeps_its_code_and_row() -> None:
    with (
        answering((422, {}, json.dumps(PROBLEM).encode())) as said,
        Gateway(said.url, None) as gateway,
        pytest.raises(GatewayProblemError, match="422 not-finite: row 3") as refused,
    ):
        gateway.get("models")
    assert (refused.value.status, refused.value.code, refused.value.row) == (422, "not-finite", 3)


@pytest.mark.parametrize("answer", [(200, {}, b"<html>"), (404, {}, b"{}"), (302, {}, b""), (200, {}, b"[]")])
def test_what_is_no_gateway_is_said_so(answer: tuple[int, dict[str, str], bytes]) -> None:
    with (
        answering(answer) as said,
        Gateway(said.url, None) as gateway,
        pytest.raises(GatewayUnreachableError, match="no gateway"),
    ):
        gateway.get("models")


def test_names_stay_in_their_place_of_the_path_and_the_key_in_its_header() -> None:
    with answering(FINE) as said, Gateway(said.url, "r3an_x_y") as gateway:
        gateway.get("galleries", "a/../b?c", query={"limit": 5})
    assert said.asked == ["/galleries/a%2F..%2Fb%3Fc?limit=5"]
    assert said.keys == ["Bearer r3an_x_y"]


@pytest.mark.parametrize(
    ("url", "key"), [("http://h:99999999", None), ("http://127.0.0.1", "ü"), ("http://\x01", None)]
)
def test_a_url_or_key_that_cannot_be_is_refused(url: str, key: str | None) -> None:
    with pytest.raises(BulkError, match="the URL or the API key"):
        Gateway(url, key)


def test_another_scheme_is_refused() -> None:
    with Gateway("ftp://127.0.0.1", None) as gateway, pytest.raises(BulkError, match="no URL of a gateway"):
        gateway.get("models")


def test_a_gateway_that_cannot_tell_galleries_apart_is_refused() -> None:
    older = pytest.raises(BulkError, match="the gateway is older than this command")
    with answering(FINE) as said, Gateway(said.url, None) as gateway, older:
        describe_gallery(gateway, "staff")
