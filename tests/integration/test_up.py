"""`make up`: all servers for real, and none of them left behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from deploy.process import free_ports, wait_until
from tests.integration.stack import eager, random_features
from tests.repository import SOURCE, write_translator

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120
GATEWAY = re.compile(r"^gateway  (http://\S+) \(development\)", re.MULTILINE)


@contextmanager
def up(directory: Path, more: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m deploy.up` in a folder of its own; its output goes to `up.log` there."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("R3AN_")}
    with (directory / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.up"],
            cwd=directory,
            env={**inherited, "PYTHONPATH": str(ROOT), **more},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_up_serves_and_a_signal_ends_every_process(tmp_path: Path, end: signal.Signals) -> None:
    write_translator(tmp_path / "model_repository")
    log = tmp_path / "up.log"
    with up(tmp_path, {"R3AN_PORT": str(free_ports(1)[0])}) as process:
        wait_until(lambda: process.poll() is not None or "Ctrl-C" in log.read_text(), DEADLINE_S, "all to be up")
        found = GATEWAY.search(log.read_text())
        assert found, log.read_text()
        features = random_features(2)
        body = {"source_model": SOURCE.id, "features": features.tolist()}
        answer = httpx.post(f"{found[1]}/translate", json=body, timeout=60)
        np.testing.assert_allclose(np.array(answer.json()["features"]), eager(features), rtol=0, atol=1e-4)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 4  # redis, triton, its backend's stub, the gateway
        process.send_signal(end)
        assert process.wait(DEADLINE_S) == 0, log.read_text()
    assert [child for child in children if child.is_running()] == []
    assert log.read_text().endswith("stopped\n")


def test_a_server_that_ends_by_itself_ends_the_others(tmp_path: Path) -> None:
    write_translator(tmp_path / "model_repository")
    log = tmp_path / "up.log"
    with up(tmp_path, {"R3AN_PORT": str(free_ports(1)[0])}) as process:
        wait_until(lambda: process.poll() is not None or "Ctrl-C" in log.read_text(), DEADLINE_S, "all to be up")
        children = psutil.Process(process.pid).children(recursive=True)
        next(child for child in children if "redis-server" in child.name()).kill()
        assert process.wait(DEADLINE_S) == 1
    assert [child for child in children if child.is_running()] == []
    assert "redis has ended by itself" in log.read_text()


def test_up_without_translators_says_what_to_do(tmp_path: Path) -> None:
    with up(tmp_path, {}) as process:
        assert process.wait(DEADLINE_S) == 2
    assert "run `make demo` first" in (tmp_path / "up.log").read_text()


def test_up_with_wrong_settings_says_which(tmp_path: Path) -> None:
    write_translator(tmp_path / "model_repository")
    with up(tmp_path, {"R3AN_ROWS_MAX": "none"}) as process:
        assert process.wait(DEADLINE_S) == 1
    assert "R3AN_ROWS_MAX" in (tmp_path / "up.log").read_text()
