"""A gateway on a Redis Cluster that has lost a primary with its replica: what lies elsewhere goes on."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.process import wait_until
from deploy.redis.cluster import PRIMARIES, RedisClusterServers
from deploy.redis.start import RedisServer
from service.galleries.redis_records import GALLERIES_KEY, NOTES_KEY, key_of
from service.settings import EngineKind, StoreKind
from tests.gateway import development_settings, running_gateway
from tests.integration.migrations import DEADLINE_S, FIRST, SECOND, act, begin, enrolled, wait_for, write_encoders

FACES = 40
NAMES = [f"gallery-{number}" for number in range(40)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisClusterServers]:
    """A cluster of the test's own, to be broken."""
    with RedisClusterServers(tmp_path / "redis") as cluster:
        yield cluster


@pytest.fixture
def client(cluster: RedisClusterServers, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a gateway on the cluster."""
    write_encoders(tmp_path / "model_repository")
    settings = development_settings(
        tmp_path,
        engine=EngineKind.ONNXRUNTIME,
        gallery_store=StoreKind.REDIS,
        redis_url=cluster.url,
        migration_poll_s=0.05,
        timeout_ms=5_000,
    )
    with running_gateway(settings) as client:
        yield client


def split_by_holder(cluster: RedisClusterServers) -> tuple[str, str, RedisServer]:
    """A gallery beside which nothing all need lies, one that lies elsewhere, and the first one's server."""
    holders = {name: cluster.primary_of(key_of(name)) for name in NAMES}
    needed = {cluster.primary_of(key).port for key in (GALLERIES_KEY, NOTES_KEY)}
    apart = next(name for name in NAMES if holders[name].port not in needed)
    elsewhere = next(name for name in NAMES if holders[name].port in needed)
    return apart, elsewhere, holders[apart]


def unreachable_galleries(client: httpx.Client) -> float:
    families = text_string_to_metric_families(client.get("/metrics").text)
    [family] = [one for one in families if one.name == "r3an_migration_unreachable_galleries"]
    return float(family.samples[0].value)


def kill(server: RedisServer) -> None:
    server.kill()


def hang(server: RedisServer) -> None:
    os.kill(server.process.pid, signal.SIGSTOP)


def wake(server: RedisServer) -> None:
    os.kill(server.process.pid, signal.SIGCONT)


@pytest.mark.parametrize(("lose", "mend"), [(kill, RedisServer.start), (hang, wake)])
def test_the_loss_of_one_gallery_stops_no_migration_of_another_and_no_list(
    client: httpx.Client,
    cluster: RedisClusterServers,
    lose: Callable[[RedisServer], None],
    mend: Callable[[RedisServer], object],
) -> None:
    lost, kept, primary = split_by_holder(cluster)
    replica = cluster.servers[(cluster.servers.index(primary) + PRIMARIES) % (2 * PRIMARIES)]
    for gallery in (lost, kept):
        enrolled(client, gallery, FIRST, FACES)
    ready = wait_for(client, begin(client, lost, SECOND), "ready")
    for server in (replica, primary):
        lose(server)
    try:
        assert client.get(f"/galleries/{lost}").status_code == 503
        listing = client.get("/galleries").json()
        assert [one["gallery"] for one in listing["galleries"]] == [kept]
        assert listing["unreachable"] == [lost]
        begun = begin(client, kept, SECOND)
        wait_for(client, begun, "ready")
        assert act(client, begun, "cutover")["state"] == "serving"
        listed = client.get("/migrations").json()
        assert [(one["id"], one["state"]) for one in listed["migrations"]] == [
            (begun, "serving"),
            (ready["id"], "ready"),
        ]
        assert listed["unreachable"] == [lost]
        wait_until(lambda: unreachable_galleries(client) == 1, DEADLINE_S, "the metric to say so")
    finally:
        for server in (replica, primary):
            mend(server)
    cluster.wait_until_whole()
    wait_until(lambda: client.get("/galleries").json().get("unreachable") == [], DEADLINE_S, "the gallery to come back")
    wait_until(lambda: unreachable_galleries(client) == 0, DEADLINE_S, "the metric to say so")
    assert act(client, ready["id"], "cutover")["state"] == "serving"
