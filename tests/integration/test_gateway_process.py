"""The gateway as a process: what it imports, how it starts, refuses to start, and ends."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from contract.spaces import FeatureSpace
from deploy.gateway import GatewayServer
from deploy.process import Process, ProcessError, wait_until
from deploy.triton.start import TritonServer
from service.access import KeysFile, Scope, create_key, write_keys
from service.galleries.embedded.directory import DATABASE_FILE
from tests.integration.stack import gateway_settings, random_features
from tests.repository import SOURCE, TARGET, write_translator

DEADLINE_S = 120
CPU_RATIO_MAX = 2.5
EXIT_NOT_STARTED = 3

# What any such gateway costs: the frameworks themselves. Their import is the yardstick on a machine of unknown speed.
YARDSTICK = """
import time
import fastapi, numpy, orjson, prometheus_client, pydantic_settings
import redis.asyncio, tritonclient.grpc.aio, typer, uvicorn
print(time.process_time())
"""
START = """
import asyncio, json, sys, time
from service.app import create_app
from service.settings import Settings

async def start():
    app = create_app(Settings())
    async with app.router.lifespan_context(app):
        ready = (await app.state.parts.readiness.now()).ready
        foreign = sorted({"torch", "training", "pyarrow", "redis"} & set(sys.modules))
        print(json.dumps({"ready": ready, "foreign": foreign, "cpu_s": time.process_time()}))

asyncio.run(start())
"""


def run_python(code: str, settings: dict[str, str] | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("R3AN_")}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | (settings or {}),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    return ended.stdout.splitlines()[-1]


def test_with_triton_the_gateway_is_ready_at_once_and_imports_no_torch(
    triton_server: TritonServer, translators: Path, tmp_path: Path
) -> None:
    settings = gateway_settings(translators, tmp_path)
    settings |= {"R3AN_ENGINE": "triton", "R3AN_TRITON_URL": triton_server.grpc_address}
    started = json.loads(run_python(START, settings))
    assert started["foreign"] == []
    assert started["ready"]
    yardstick = float(run_python(YARDSTICK))
    assert started["cpu_s"] < CPU_RATIO_MAX * yardstick


def test_importing_the_application_imports_no_engine() -> None:
    code = (
        "import sys, service.app; print([m for m in ('torch', 'tritonclient', 'grpc', 'training') if m in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_a_request_under_way_when_the_gateway_is_told_to_end_is_answered(translators: Path, tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    body = json.dumps({"source_model": SOURCE.id, "features": random_features(2).tolist()}).encode()
    arrived, told_to_end = threading.Event(), threading.Event()

    def slow_body() -> object:
        yield body[:20]
        arrived.set()
        told_to_end.wait(DEADLINE_S)
        yield body[20:]

    answers: list[httpx.Response] = []
    with GatewayServer(gateway_settings(translators, tmp_path), log=log) as gateway:

        def send() -> None:
            with httpx.Client(timeout=DEADLINE_S) as client:
                answers.append(client.post(f"{gateway.url}/translate", content=slow_body()))  # type: ignore[arg-type]

        sender = threading.Thread(target=send)
        sender.start()
        assert arrived.wait(DEADLINE_S)
        wait_until(lambda: metric(gateway.url, "r3an_http_requests_in_flight") == 1, DEADLINE_S, "the request")
        os.kill(gateway.process.pid, signal.SIGTERM)
        wait_until(lambda: "Shutting down" in log.read_text(), DEADLINE_S, "the gateway to shut down")
        told_to_end.set()
        sender.join()
        assert gateway.process.stop() == -signal.SIGTERM
    assert answers[0].status_code == 200


def metric(url: str, name: str) -> float:
    """Value of a metric without labels."""
    lines = httpx.get(f"{url}/metrics", timeout=60).text.splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} "))


def test_in_production_only_keys_open_it(translators: Path, tmp_path: Path) -> None:
    keys_file = tmp_path / "keys.json"
    key, record = create_key("client", [Scope.TRANSLATE])
    write_keys(KeysFile(keys=(record,)), keys_file)
    settings = gateway_settings(translators, tmp_path) | {
        "R3AN_ENVIRONMENT": "production",
        "R3AN_API_KEYS_FILE": str(keys_file),
    }
    body = {"source_model": SOURCE.id, "features": random_features(1).tolist()}
    with GatewayServer(settings) as gateway, httpx.Client(base_url=gateway.url, timeout=60) as client:
        assert client.post("/translate", json=body).status_code == 401
        answer = client.post("/translate", json=body, headers={"X-API-Key": key})
        assert np.array(answer.json()["features"]).shape == (1, TARGET.dim)


def test_a_repository_that_contradicts_itself_stops_the_start_with_its_reason(tmp_path: Path) -> None:
    repository = tmp_path / "translators"
    write_translator(repository)
    write_translator(repository, FeatureSpace(id="another", dim=4), FeatureSpace(id=TARGET.id, dim=TARGET.dim + 1))
    assert f"CatalogError: {TARGET.id} has 17 and 16 dimensions" in refused_start(
        gateway_settings(repository, tmp_path)
    )


def test_galleries_that_cannot_be_read_stop_the_start_without_a_subject_in_the_reason(
    translators: Path, tmp_path: Path
) -> None:
    settings = gateway_settings(translators, tmp_path / "galleries")
    body: dict[str, Any] = {"source_model": SOURCE.id, "features": random_features(1).tolist()}
    body["faces"] = [{"face_id": "marked-face", "subject": "marked-subject", "tags": ["marked-tag"]}]
    with GatewayServer(settings) as gateway, httpx.Client(base_url=gateway.url, timeout=60) as client:
        client.put("/galleries/staff", json={"model": SOURCE.id})
        assert client.post("/galleries/staff/faces", json=body).status_code == 200
    with closing(sqlite3.connect(tmp_path / "galleries" / DATABASE_FILE)) as database, database:
        database.execute("UPDATE subjects SET subject = CAST(subject || x'ff' AS TEXT)")
    said = refused_start(settings)
    assert f"GalleryUnavailableError: {DATABASE_FILE} cannot be read: OperationalError" in said
    assert "marked" not in said


def test_an_unforeseen_failure_stops_the_start_with_its_place_alone(translators: Path, tmp_path: Path) -> None:
    url = "redis://:marked-password@127.0.0.1:99999/0"
    settings = gateway_settings(translators, tmp_path) | {"R3AN_GALLERY_STORE": "redis", "R3AN_REDIS_URL": url}
    said = refused_start(settings)
    assert "unforeseen ValueError; the log has its place" in said
    assert "redis_connection.py" in said
    assert "marked" not in said


def refused_start(settings: dict[str, str]) -> str:
    """All that a gateway writes that cannot start."""
    ended = subprocess.run(
        [sys.executable, "-m", "service.cli", "serve"],
        env=os.environ | settings | {"R3AN_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == EXIT_NOT_STARTED
    return ended.stdout + ended.stderr


def test_a_port_that_is_taken_stops_the_start(translators: Path, tmp_path: Path) -> None:
    with GatewayServer(gateway_settings(translators, tmp_path / "one")) as gateway:
        settings = gateway_settings(translators, tmp_path / "two") | {"R3AN_PORT": str(gateway.port)}
        log = tmp_path / "second.log"
        second = Process("second", [sys.executable, "-m", "service.cli", "serve"], log, os.environ | settings)
        with pytest.raises(ProcessError, match=f"ended with {EXIT_NOT_STARTED}"):
            second.start(lambda: False, DEADLINE_S)
        assert "address already in use" in log.read_text()
