"""Versions come and engines go while requests keep arriving."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from contract.manifest import MANIFEST_FILE, MODEL_FILE, sha256_of
from deploy.gateway import GatewayServer
from deploy.process import wait_until
from deploy.triton.start import TritonServer
from tests.integration.stack import MODEL, eager, gateway_settings, random_features
from tests.repository import SOURCE, TARGET, RandomLinear, write_translator

DEADLINE_S = 90
FEATURES = random_features(2, seed=4)
BODY = {"source_model": SOURCE.id, "target_model": TARGET.id, "features": FEATURES.tolist()}


@dataclass
class Traffic:
    """What came back from requests sent one after the other by several threads."""

    versions: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@contextmanager
def traffic(url: str, threads: int = 4) -> Iterator[Traffic]:
    """Translate without a pause until the block ends."""
    seen, ended = Traffic(), threading.Event()

    def send() -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while not ended.is_set():
                answer = client.post("/translate", json=BODY)
                if answer.status_code == 200:
                    seen.versions[answer.json()["translator"]["version"]] += 1
                else:
                    seen.failures.append(answer.text)

    senders = [threading.Thread(target=send) for _ in range(threads)]
    for sender in senders:
        sender.start()
    try:
        yield seen
    finally:
        ended.set()
        for sender in senders:
            sender.join()


@contextmanager
def running(repository: Path, galleries: Path, engine: str) -> Iterator[GatewayServer]:
    """A gateway over a repository of its own, with the embedded engine or a Triton of its own."""
    settings = gateway_settings(repository, galleries)
    if engine != "triton":
        with GatewayServer(settings) as gateway:
            yield gateway
        return
    with TritonServer(repository) as triton:
        settings |= {"R3AN_ENGINE": "triton", "R3AN_TRITON_URL": triton.grpc_address}
        with GatewayServer(settings) as gateway:
            yield gateway


@pytest.mark.parametrize("engine", ["onnxruntime", "triton"])
def test_a_new_version_goes_live_and_a_broken_one_does_not_without_a_failed_request(
    tmp_path: Path, engine: str
) -> None:
    repository = tmp_path / "translators"
    write_translator(repository, seed=0)
    with running(repository, tmp_path / "galleries", engine) as gateway:
        with traffic(gateway.url) as seen:
            wait_until(lambda: seen.versions[1] > 20, DEADLINE_S, "traffic on version 1")
            write_translator(repository, seed=1)
            wait_until(lambda: seen.versions[2] > 20, DEADLINE_S, "traffic on version 2")
            publish_broken(repository, tmp_path, version=3)
            wait_until(lambda: refusals(gateway.url) == 1, DEADLINE_S, "version 3 to be refused")
            reached = seen.versions[2]
            wait_until(lambda: seen.versions[2] > reached + 20, DEADLINE_S, "more traffic on version 2")
            write_translator(repository, seed=3)
            wait_until(lambda: seen.versions[4] > 20, DEADLINE_S, "traffic on version 4")
        translated = np.array(httpx.post(f"{gateway.url}/translate", json=BODY, timeout=60).json()["features"])
    assert seen.failures == []
    assert set(seen.versions) == {1, 2, 4}
    expected = eager(FEATURES, RandomLinear(SOURCE.dim, TARGET.dim, seed=3))
    np.testing.assert_allclose(translated, expected, rtol=0, atol=1e-4)


def test_a_version_that_verifies_but_cannot_run_is_refused_by_triton(tmp_path: Path) -> None:
    repository = tmp_path / "translators"
    write_translator(repository, seed=0)
    with running(repository, tmp_path / "galleries", "triton") as gateway, traffic(gateway.url) as seen:
        wait_until(lambda: seen.versions[1] > 20, DEADLINE_S, "traffic on version 1")
        publish_broken(repository, tmp_path, version=2, resign=True)
        wait_until(lambda: refusals(gateway.url) == 1, DEADLINE_S, "version 2 to be refused")
        reached = seen.versions[1]
        wait_until(lambda: seen.versions[1] > reached + 20, DEADLINE_S, "more traffic on version 1")
    assert seen.failures == []
    assert set(seen.versions) == {1}


def test_a_killed_triton_is_answered_with_503_and_used_again_once_it_is_back(tmp_path: Path) -> None:
    repository = tmp_path / "translators"
    write_translator(repository)
    with TritonServer(repository) as triton:
        settings = gateway_settings(repository, tmp_path / "galleries")
        settings |= {"R3AN_ENGINE": "triton", "R3AN_TRITON_URL": triton.grpc_address}
        with GatewayServer(settings) as gateway, httpx.Client(base_url=gateway.url, timeout=60) as client:
            assert client.post("/translate", json=BODY).status_code == 200
            triton.kill()
            answer = client.post("/translate", json=BODY)
            assert (answer.status_code, answer.json()["code"]) == (503, "engine-unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            wait_until(lambda: client.get("/health/ready").status_code == 503, DEADLINE_S, "readiness to fall")
            assert client.get("/health/live").status_code == 200
            triton.start()
            wait_until(lambda: client.post("/translate", json=BODY).status_code == 200, DEADLINE_S, "recovery")
            wait_until(lambda: client.get("/health/ready").status_code == 200, DEADLINE_S, "readiness to return")


def publish_broken(repository: Path, scratch: Path, version: int, *, resign: bool = False) -> None:
    """Publish, at once and whole, a version whose weights are no model; `resign`: with a manifest that says so."""
    version_dir = write_translator(scratch / "broken", version=version)
    (version_dir / MODEL_FILE).write_bytes(b"no model")
    if resign:
        manifest = read_json(version_dir / MANIFEST_FILE) | {"sha256": sha256_of(version_dir / MODEL_FILE)}
        (version_dir / MANIFEST_FILE).write_text(json.dumps(manifest))
    version_dir.rename(repository / MODEL / str(version))


def read_json(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(file.read_bytes())
    return document


def refusals(url: str) -> float:
    """How many versions the gateway has refused."""
    lines = httpx.get(f"{url}/metrics", timeout=60).text.splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("r3an_refused_versions_total "))
