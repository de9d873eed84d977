"""A gateway of several processes: one address, one catalogue, one set of metrics; what ends is started again."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.gateway import GatewayServer
from deploy.process import ProcessError, wait_until
from deploy.redis.start import RedisServer
from tests.integration.stack import gateway_settings, random_features
from tests.repository import SOURCE, write_translator

DEADLINE_S = 120
WORKERS = 2
REQUESTS = 40
STARTED = 'r3an_catalog_reloads_total{outcome="accepted"}'  # each worker's first
BODY = {"source_model": SOURCE.id, "features": random_features(1).tolist()}


@pytest.fixture
def settings(redis_server: RedisServer, tmp_path: Path) -> dict[str, str]:
    write_translator(tmp_path / "model_repository")
    settings = gateway_settings(tmp_path / "model_repository", tmp_path)
    own = {"R3AN_WORKERS": str(WORKERS), "R3AN_GALLERY_STORE": "redis", "R3AN_REDIS_URL": redis_server.url}
    return settings | own | {"R3AN_ENGINE": "echo", "R3AN_RELOAD_INTERVAL_S": "0.1"}


@pytest.fixture
def gateway(settings: dict[str, str], tmp_path: Path) -> Iterator[GatewayServer]:
    with GatewayServer(settings, log=tmp_path / "gateway.log") as gateway:
        wait_until(lambda: metric(gateway, STARTED) == WORKERS, DEADLINE_S, "all workers to have started")
        yield gateway


def workers(gateway: GatewayServer) -> list[psutil.Process]:
    children = psutil.Process(gateway.process.pid).children()
    return [child for child in children if child.is_running() and any("spawn_main" in part for part in command(child))]


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def translate(gateway: GatewayServer) -> int:
    """The status of a request over a connection of its own, so that any worker may take it."""
    return httpx.post(f"{gateway.url}/translate", json=BODY, timeout=DEADLINE_S).status_code


def metric(gateway: GatewayServer, start: str) -> float:
    lines = httpx.get(f"{gateway.url}/metrics", timeout=DEADLINE_S).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start))


def test_all_workers_serve_and_their_metrics_are_one(gateway: GatewayServer) -> None:
    assert [translate(gateway) for _ in range(REQUESTS)] == [200] * REQUESTS
    answered = 'r3an_http_requests_total{method="POST",route="/translate",status="200"}'
    assert metric(gateway, answered) == REQUESTS
    assert metric(gateway, "r3an_build_info{") == 1
    assert metric(gateway, "r3an_translator_version{") == 1
    assert metric(gateway, "r3an_http_requests_in_flight") == 0


def test_a_worker_that_is_killed_is_started_again_and_leaves_nothing_in_flight(gateway: GatewayServer) -> None:
    killed, other = workers(gateway)
    killed.kill()
    wait_until(lambda: killed not in workers(gateway) and len(workers(gateway)) == WORKERS, DEADLINE_S, "a new one")
    assert other in workers(gateway)
    assert translate(gateway) == 200
    assert metric(gateway, "r3an_http_requests_in_flight") == 0


def test_a_new_version_reaches_all_workers(gateway: GatewayServer, tmp_path: Path) -> None:
    write_translator(tmp_path / "model_repository", seed=1)
    wait_until(lambda: metric(gateway, "r3an_translator_version{") == 2, DEADLINE_S, "the least version of all")
    versions = {
        httpx.post(f"{gateway.url}/translate", json=BODY, timeout=DEADLINE_S).json()["translator"]["version"]
        for _ in range(REQUESTS)
    }
    assert versions == {2}


def test_told_to_end_all_end_with_success(settings: dict[str, str], tmp_path: Path) -> None:
    with GatewayServer(settings, log=tmp_path / "gateway.log") as gateway:
        wait_until(lambda: len(workers(gateway)) == WORKERS, DEADLINE_S, "the workers")
        started = workers(gateway)
        assert gateway.process.stop() == 0
    assert [worker for worker in started if worker.is_running()] == []


def test_workers_end_with_the_process_above_them(settings: dict[str, str], tmp_path: Path) -> None:
    with GatewayServer(settings, log=tmp_path / "gateway.log") as gateway:
        wait_until(lambda: len(workers(gateway)) == WORKERS, DEADLINE_S, "the workers")
        started = workers(gateway)
        os.kill(gateway.process.pid, signal.SIGKILL)
        wait_until(lambda: not any(worker.is_running() for worker in started), DEADLINE_S, "the workers to end")


def test_a_gateway_whose_workers_cannot_start_ends(settings: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    broken = GatewayServer(settings | {"R3AN_MODEL_REPOSITORY": str(tmp_path / "nothing")}, log=log)
    with pytest.raises(ProcessError, match="ended with 3"):
        broken.start()
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert not any("started again" in line["message"] for line in lines)


def test_an_address_in_use_is_said_in_one_line(
    settings: dict[str, str], gateway: GatewayServer, tmp_path: Path
) -> None:
    log = tmp_path / "second.log"
    with pytest.raises(ProcessError, match="ended with 3"):
        GatewayServer(settings | {"R3AN_PORT": str(gateway.port)}, log=log).process.start(lambda: False)
    assert f"cannot listen on 127.0.0.1:{gateway.port}" in log.read_text()


def test_a_worker_that_cannot_start_later_is_tried_again_while_the_others_serve(
    gateway: GatewayServer, tmp_path: Path
) -> None:
    (tmp_path / "model_repository").rename(tmp_path / "elsewhere")
    workers(gateway)[0].kill()
    log = tmp_path / "gateway.log"
    wait_until(lambda: "ended with 3 and is started again" in log.read_text(), DEADLINE_S, "a start that fails")
    assert translate(gateway) == 200
    (tmp_path / "elsewhere").rename(tmp_path / "model_repository")
    failures = log.read_text().count("is started again")
    wait_until(lambda: len(workers(gateway)) == WORKERS, DEADLINE_S, "the worker")
    assert [translate(gateway) for _ in range(REQUESTS)] == [200] * REQUESTS
    assert log.read_text().count("is started again") <= failures + 1


def test_told_to_end_it_takes_no_further_connections(gateway: GatewayServer) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as slow:
        slow.sendall(b"POST /translate HTTP/1.1\r\nHost: gateway\r\nContent-Length: 10\r\n\r\n{")
        wait_until(lambda: metric(gateway, "r3an_http_requests_in_flight") == 1, DEADLINE_S, "the upload to begin")
        os.kill(gateway.process.pid, signal.SIGTERM)
        wait_until(lambda: not connects(gateway), DEADLINE_S, "connections to be refused")
        assert gateway.process.running, "the upload has its time"


def connects(gateway: GatewayServer) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=1):
            return True
    except ConnectionRefusedError:
        return False


def test_ctrl_c_of_a_terminal_ends_all_without_a_traceback(settings: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    with GatewayServer(settings, log=log) as gateway:
        wait_until(lambda: len(workers(gateway)) == WORKERS, DEADLINE_S, "the workers")
        os.killpg(gateway.process.pid, signal.SIGINT)
        wait_until(lambda: not gateway.process.running, DEADLINE_S, "the end")
        assert gateway.process.stop() == 0
    assert "Traceback" not in log.read_text()
    assert f"listening on 127.0.0.1:{gateway.port}" in log.read_text()
