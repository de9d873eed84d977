"""A real Prometheus over the real gateway, Triton and Redis: each query of the dashboard finds data."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.gateway import GatewayServer
from deploy.process import wait_until
from deploy.prometheus.start import PrometheusServer
from deploy.redis.start import RedisServer
from deploy.triton.start import TritonServer
from tests.integration.dashboard import Query, dashboard_queries
from tests.integration.stack import gateway_settings, random_features, server_settings
from tests.repository import SOURCE, TARGET, write_translator

CONFIG = Path(__file__).parents[2] / "deploy" / "prometheus" / "prometheus.yml"
RATE_INTERVAL = "10s"
DEADLINE_S = 120
# Queries that need a lost engine, or a lost store.
ENGINE_LOST = {"Engine errors A", "Share of failed requests A"}
STORE_LOST = {"Store errors A"}


@dataclass(frozen=True, slots=True)
class Monitored:
    """The whole service with its Prometheus."""

    gateway: GatewayServer
    triton: TritonServer
    redis: RedisServer
    prometheus: PrometheusServer


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    directory = tmp_path_factory.mktemp("monitored")
    repository = directory / "translators"
    write_translator(repository)
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        triton = stack.enter_context(TritonServer(repository))
        settings = gateway_settings(repository, directory / "galleries") | server_settings(triton, redis)
        gateway = stack.enter_context(GatewayServer(settings))
        config = native_config(directory / "prometheus.yml", gateway, triton)
        yield Monitored(gateway, triton, redis, stack.enter_context(PrometheusServer(config)))


def native_config(file: Path, gateway: GatewayServer, triton: TritonServer) -> Path:
    """The committed configuration with loopback targets, scraping more often."""
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] |= {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
    targets = {"gateway": f"127.0.0.1:{gateway.port}", "triton": f"127.0.0.1:{triton.ports.metrics}"}
    assert {job["job_name"] for job in config["scrape_configs"]} == set(targets)
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    file.write_text(yaml.safe_dump(config))
    return file


def ask(prometheus: PrometheusServer, query: str) -> list[dict[str, Any]]:
    """Series of an instant query."""
    answer = httpx.get(f"{prometheus.url}/api/v1/query", params={"query": query}, timeout=60)
    answer.raise_for_status()
    series: list[dict[str, Any]] = answer.json()["data"]["result"]
    return series


def without_data(prometheus: PrometheusServer, titles: set[str]) -> set[str]:
    """Those of the dashboard's queries that find no number, or no label that their legend names."""
    queries = dashboard_queries()
    return {title for title in titles if not finds_data(prometheus, queries[title])}


def finds_data(prometheus: PrometheusServer, query: Query) -> bool:
    series = ask(prometheus, query.substituted(RATE_INTERVAL))
    numbers = [one for one in series if math.isfinite(float(one["value"][1]))]
    return bool(numbers) and all(query.legend_labels <= set(one["metric"]) for one in numbers)


def keep_asking_until_all_find_data(prometheus: PrometheusServer, titles: set[str], send: Callable[[], None]) -> None:
    """Send traffic until every query has found a number at some time."""
    missing = set(titles)

    def none_missing() -> bool:
        send()
        missing.intersection_update(without_data(prometheus, missing))
        return not missing

    try:
        wait_until(none_missing, DEADLINE_S, "data")
    except TimeoutError:
        pytest.fail(f"no data for {sorted(missing)}")


def test_every_target_is_up(monitored: Monitored) -> None:
    wait_until(
        lambda: {s["metric"]["job"] for s in ask(monitored.prometheus, "up == 1")} == {"gateway", "triton"},
        DEADLINE_S,
        "both targets to be up",
    )


def test_every_query_of_the_dashboard_finds_data(monitored: Monitored) -> None:
    """First all serves; then Triton is gone; then Redis too. What counts failures must have no data before them."""
    titles = set(dashboard_queries())
    features = random_features(3).tolist()
    people = [{"face_id": f"face-{row}", "subject": f"subject-{row}"} for row in range(3)]
    with httpx.Client(base_url=monitored.gateway.url, timeout=60) as client:
        client.put("/galleries/lobby", json={"model": TARGET.id}).raise_for_status()

        def translate() -> int:
            return client.post("/translate", json={"source_model": SOURCE.id, "features": features}).status_code

        def search() -> int:
            # A probe of the gallery's own space, so that the engine has no part in it.
            probe = random_features(1, TARGET.dim).tolist()
            body = {"source_model": TARGET.id, "gallery": "lobby", "features": probe}
            return client.post("/search", json=body).status_code

        def ordinary() -> None:
            assert (translate(), search()) == (200, 200)
            body = {"source_model": SOURCE.id, "features": features, "faces": people}
            client.post("/galleries/lobby/faces", json=body).raise_for_status()
            assert client.post("/translate", content=b"no JSON").status_code == 400

        def without_triton() -> None:
            assert translate() == 503

        def without_redis() -> None:
            assert search() == 503

        keep_asking_until_all_find_data(monitored.prometheus, titles - ENGINE_LOST - STORE_LOST, ordinary)
        assert without_data(monitored.prometheus, ENGINE_LOST | STORE_LOST) == ENGINE_LOST | STORE_LOST
        monitored.triton.kill()
        keep_asking_until_all_find_data(monitored.prometheus, ENGINE_LOST, without_triton)
        monitored.redis.kill()
        keep_asking_until_all_find_data(monitored.prometheus, STORE_LOST, without_redis)
