"""What docker-compose.yml and its neighbours say is what the code understands, and it runs natively as it stands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from deploy.gateway import GatewayServer
from deploy.redis.start import RedisServer
from deploy.triton.start import TritonServer
from service.access import Scope
from service.metrics import create_metrics
from service.settings import Settings
from tests.integration.dashboard import DASHBOARD, dashboard_queries
from tests.integration.stack import eager, random_features
from tests.repository import SOURCE

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
JSON_OVERHEAD = 5  # docs/operations.md
MADE_BY_THE_OPERATOR = {"./model_repository", "./secrets/keys"}
VARIABLE = re.compile(r"\bR3AN_[A-Z_]+")


def known_variables() -> set[str]:
    return {f"R3AN_{name.upper()}" for name in Settings.model_fields}


def test_the_gateway_of_compose_has_valid_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, str] = SERVICES["gateway"]["environment"]
    assert set(environment) <= known_variables()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.environment == "production"
    assert settings.api_keys_file == Path("/run/secrets/keys/api_keys.json")
    bodies_bytes = JSON_OVERHEAD * settings.requests_in_flight_max * settings.body_bytes_max
    assert bodies_bytes < bytes_of(SERVICES["gateway"]["mem_limit"])


def test_the_gateway_of_compose_sees_keys_that_are_replaced() -> None:
    mounts = [volume.split(":") for volume in SERVICES["gateway"]["volumes"]]
    file = Path(SERVICES["gateway"]["environment"]["R3AN_API_KEYS_FILE"])
    # A file that is replaced by another stays what it was inside a container that has it, and not its folder, mounted.
    assert [target for source, target, _ in mounts if source == "./secrets/keys"] == [str(file.parent)]
    assert "secrets" not in SERVICES["gateway"]


def test_redis_may_grow_no_further_than_its_container() -> None:
    conf = (ROOT / "deploy/redis/redis.conf").read_text()
    limit = re.search(r"^maxmemory (\S+)$", conf, re.MULTILINE)
    assert limit
    assert 2 * bytes_of(limit[1].removesuffix("b")) <= bytes_of(SERVICES["redis"]["mem_limit"])


def bytes_of(size: str) -> int:
    """`512m`, `1g`: bytes."""
    return int(size[:-1]) * {"m": 1024**2, "g": 1024**3}[size[-1]]


@pytest.mark.parametrize("file", ["Dockerfile", "docker-compose.yml", "deploy/up.py", "deploy/gateway.py"])
def test_every_setting_named_in_a_deployment_file_exists(file: str) -> None:
    named = set(VARIABLE.findall((ROOT / file).read_text()))
    assert named
    assert named <= known_variables()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_bounded_checked_and_published_on_loopback_alone(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+", service["image"]), "a version, not a moving tag"
    assert {"mem_limit", "pids_limit", "healthcheck", "restart", "networks", "logging"} <= set(service)
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_compose_mounts_and_builds_what_exists() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            known = source in COMPOSE["volumes"] or source in MADE_BY_THE_OPERATOR or (ROOT / source).exists()
            assert known, source
        if build := service.get("build"):
            assert (ROOT / build.get("dockerfile", "Dockerfile")).is_file()


def test_no_secret_stands_in_a_deployment_file() -> None:
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "secrets/" in ignored
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            secret_like = re.search("PASSWORD|TOKEN|SECRET|KEY", variable)
            assert not secret_like or str(value).startswith("/run/secrets/")


def test_the_gateway_image_copies_only_what_the_build_context_holds() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for dockerfile in ("Dockerfile", "deploy/triton/Dockerfile.triton-cpu"):
        copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / dockerfile).read_text(), re.MULTILINE)
        sources = {source for copied in copies for source in copied.split()}
        assert sources
        assert sources <= allowed


def test_every_metric_of_the_dashboard_exists() -> None:
    samples = {
        sample
        for metric in create_metrics().registry.collect()
        for sample in (metric.name, *(f"{metric.name}_{end}" for end in ("total", "bucket", "sum", "count", "info")))
    }
    named = {metric for query in dashboard_queries().values() for metric in query.metrics}
    assert {metric for metric in named if metric.startswith("r3an_")} <= samples
    assert any(metric.startswith("nv_") for metric in named)  # a real Triton answers for these in test_prometheus


def test_the_dashboard_reads_from_the_provisioned_source() -> None:
    provisioned = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    sources = {source["uid"] for source in provisioned["datasources"]}
    panels = json.loads(DASHBOARD.read_bytes())["panels"]
    assert {panel["datasource"]["uid"] for panel in panels if "datasource" in panel} == sources
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_redis_of_tests_and_of_compose_promise_the_same(redis_server: RedisServer) -> None:
    lines = (ROOT / "deploy/redis/redis.conf").read_text().splitlines()
    conf = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    assert (conf["appendonly"], conf["appendfsync"], conf["maxmemory-policy"]) == ("yes", "always", "noeviction")
    assert (conf["search-timeout"], conf["search-on-timeout"]) == ("0", "fail")
    command = " ".join(redis_server.process.command)
    assert "--appendonly yes --appendfsync always" in command
    assert "--maxmemory-policy noeviction" in command
    assert "TIMEOUT 0 ON_TIMEOUT FAIL" in command


def test_the_settings_of_compose_serve_natively(
    translators: Path, triton_server: TritonServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Only addresses and paths differ from the containers."""
    keys = tmp_path / "api_keys.json"
    key = create_api_key(keys, Scope.TRANSLATE)
    here = {
        "R3AN_API_KEYS_FILE": str(keys),
        "R3AN_MODEL_REPOSITORY": str(translators),
        "R3AN_TRITON_URL": triton_server.grpc_address,
        "R3AN_REDIS_URL": redis_server.url,
    }
    environment = SERVICES["gateway"]["environment"]
    assert set(here) <= set(environment)
    settings = {name: value for name, value in environment.items() if name not in {"R3AN_HOST", "R3AN_PORT"}} | here
    features = random_features(3)
    body = {"source_model": SOURCE.id, "features": features.tolist()}
    with GatewayServer(settings) as gateway, httpx.Client(base_url=gateway.url, timeout=60) as client:
        assert client.post("/translate", json=body).status_code == 401
        answer = client.post("/translate", json=body, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(np.array(answer.json()["features"]), eager(features), rtol=0, atol=1e-4)


def create_api_key(file: Path, scope: Scope) -> str:
    """A key made as an operator makes it."""
    command = [sys.executable, "-m", "service.cli", "keys", "create"]
    options = ["--file", str(file), "--id", "compose", "--scope", scope.value]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    made = subprocess.run([*command, *options], check=True, capture_output=True, text=True, env=environment)
    return made.stdout.strip()
