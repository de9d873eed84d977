"""What is seen of a request, and what is not."""

import asyncio
import gc
import json
import logging
import re

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from service.logs import JsonFormatter, configure_logs
from service.metrics import Metrics, create_metrics
from service.observation import Observation
from tests.gateway import running_app

pytestmark = pytest.mark.anyio
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def metrics() -> Metrics:
    return create_metrics()


@pytest.fixture
def app(metrics: Metrics) -> FastAPI:
    app = FastAPI()
    app.add_middleware(Observation, metrics=metrics)

    @app.get("/faces/{face_id}")
    async def face(face_id: str, request: Request) -> str:
        request.state.timings.leave_queue()
        request.state.timings.inference_s = 0.25
        return face_id

    @app.get("/broken")
    async def broken() -> StreamingResponse:
        async def parts() -> object:
            yield b"begun"
            raise ValueError("marked")

        return StreamingResponse(parts())  # type: ignore[arg-type] # an async generator of bytes

    return app


async def get(app: FastAPI, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        return await client.get(path, headers=headers)


def logged(caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    record = next(record for record in caplog.records if record.getMessage() == "request")
    fields: dict[str, object] = json.loads(JsonFormatter().format(record))
    return fields


async def test_a_request_is_logged_by_its_template_never_its_path(
    app: FastAPI, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await get(app, "/faces/marked-face?name=marked", traceparent=f"00-{TRACE_ID}-00f067aa0ba902b7-01")
    fields = logged(caplog)
    assert "marked" not in json.dumps(fields)
    assert (fields["route"], fields["method"], fields["status"], fields["trace_id"]) == (
        "/faces/{face_id}",
        "GET",
        200,
        TRACE_ID,
    )
    labels = {"route": "/faces/{face_id}", "method": "GET", "status": "200"}
    assert metrics.registry.get_sample_value("r3an_http_requests_total", labels) == 1


@pytest.mark.parametrize(
    "traceparent", ["", "junk", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE_ID}-{'0' * 16}-01", f"00-{TRACE_ID}"]
)
async def test_a_traceparent_that_is_none_is_ignored(
    app: FastAPI, caplog: pytest.LogCaptureFixture, traceparent: str
) -> None:
    with caplog.at_level(logging.INFO):
        await get(app, "/faces/a", traceparent=traceparent)
    assert logged(caplog)["trace_id"] is None


@pytest.mark.parametrize("given", ["a", "Req_1.2-3", "x" * 64])
async def test_a_request_id_is_kept(app: FastAPI, given: str) -> None:
    assert (await get(app, "/faces/a", **{"X-Request-ID": given})).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a;b", '{"a":1}'])
async def test_a_request_id_beyond_the_grammar_is_replaced(app: FastAPI, given: str) -> None:
    made = (await get(app, "/faces/a", **{"X-Request-ID": given})).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", made)


async def test_server_timing_tells_the_phases(app: FastAPI) -> None:
    timing = (await get(app, "/faces/a")).headers["server-timing"]
    assert re.fullmatch(r"queue;dur=[\d.]+, inference;dur=250\.000, total;dur=[\d.]+", timing)


async def test_an_unknown_path_is_counted_as_other(app: FastAPI, metrics: Metrics) -> None:
    await get(app, "/marked/path")
    labels = {"route": "other", "method": "GET", "status": "404"}
    assert metrics.registry.get_sample_value("r3an_http_requests_total", labels) == 1


def test_a_failure_after_the_answer_began_does_not_start_another(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    with running_app(app) as url, pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        httpx.get(f"{url}/broken")
    assert "unforeseen failure" in caplog.text


def test_an_exception_is_logged_by_type_and_place_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    try:
        float("marked [0.25, 0.5]")
    except ValueError:
        logging.getLogger("test").exception("it failed")
    line = json.loads(JsonFormatter().format(caplog.records[0]))
    assert line["exception"] == "ValueError"
    assert any("test_observation.py" in frame for frame in line["frames"])
    assert "marked" not in json.dumps(line)


def test_what_a_forgotten_task_failed_with_is_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("marked")

    def call_back(_: str) -> None:
        raise ValueError("marked")

    async def forget() -> None:
        forgotten = asyncio.create_task(fail())
        asyncio.get_running_loop().call_soon(call_back, "marked")
        await asyncio.wait([forgotten])
        del forgotten
        gc.collect()

    asyncio.run(forget())
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records if record.name == "asyncio"]
    messages = sorted(line["message"] for line in lines if line["level"] == "error")
    assert messages[0].startswith("Exception in callback test_")
    assert messages[1] == "Task exception was never retrieved"
    assert {line["exception"] for line in lines if line["level"] == "error"} == {"ValueError"}
    assert "marked" not in json.dumps(lines)


def test_logs_go_to_stderr_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure_logs("warning")
        logging.getLogger("test").warning("seen", extra={"fields": {"rows": 3}})
        logging.getLogger("test").info("not seen")
    finally:
        root.handlers[:], root.level = before
    (line,) = capsys.readouterr().err.splitlines()
    assert {"message": "seen", "level": "warning", "rows": 3}.items() <= json.loads(line).items()
