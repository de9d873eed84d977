"""Real servers for the tests: one of each for a whole worker, on free ports, ended by process id."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from deploy.gateway import GatewayServer
from deploy.redis.cluster import RedisClusterServers
from deploy.redis.start import RedisServer
from deploy.triton.start import TritonServer
from service.settings import StoreKind
from tests.integration.gallery_stores import LocalStores, RedisStores, Stores
from tests.integration.migrations import migrating_gateway
from tests.integration.privacy import captured_logs
from tests.integration.stack import EMBEDDED, OTHER_SOURCE, OTHER_TARGET, SERVERS, gateway_settings, server_settings
from tests.repository import write_translator


@pytest.fixture(scope="session")
async def one_event_loop() -> None:
    """Keeps one loop open for the coroutine tests of a worker, from the first that asks for it to the last of all.

    A call to Triton that missed its deadline has events still to come. grpc.aio hands them to the loop that made the
    call; if that is closed by then, the error fails whichever test runs.
    """


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """An empty Redis with its query engine. Tests keep apart by the names of their galleries."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, to be killed and misconfigured."""
    with RedisServer(data=tmp_path / "redis") as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisClusterServers]:
    """A cluster that no test breaks; `stores` empties it."""
    with RedisClusterServers() as cluster:
        yield cluster


@pytest.fixture(params=["local", "redis", "redis-cluster"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """An empty gallery store of each kind that can be opened again and again."""
    if request.param == "local":
        yield LocalStores(tmp_path / "galleries")
        return
    if request.param == "redis-cluster":
        cluster: RedisClusterServers = request.getfixturevalue("redis_cluster")
        cluster.empty()
        yield RedisStores(cluster)
        return
    with RedisServer() as server:
        yield RedisStores(server)


@pytest.fixture(scope="session")
def translators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that no test changes: two translators that share no feature space."""
    repository = tmp_path_factory.mktemp("translators")
    write_translator(repository)
    write_translator(repository, OTHER_SOURCE, OTHER_TARGET, seed=1)
    return repository


@pytest.fixture(scope="session")
def triton_server(translators: Path) -> Iterator[TritonServer]:
    """A Triton over `translators`."""
    with TritonServer(translators) as server:
        yield server


@pytest.fixture(scope="session", params=[EMBEDDED, SERVERS])
def gateway(
    request: pytest.FixtureRequest, translators: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayServer]:
    """A gateway over `translators`: once all in one process, once with a real Triton and a real Redis."""
    settings = gateway_settings(translators, tmp_path_factory.mktemp("galleries"))
    if request.param != EMBEDDED:
        triton: TritonServer = request.getfixturevalue("triton_server")
        redis: RedisServer = request.getfixturevalue("redis_server")
        settings |= server_settings(triton, redis)
    with GatewayServer(settings) as server:
        yield server


@pytest.fixture
def client(gateway: GatewayServer) -> Iterator[httpx.Client]:
    """An HTTP client of `gateway`."""
    with httpx.Client(base_url=gateway.url, timeout=60) as http:
        yield http


@pytest.fixture(scope="module", params=list(StoreKind))
def migrator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An HTTP client of a gateway that migrates galleries, once with each store."""
    redis_url = request.getfixturevalue("redis_server").url if request.param is StoreKind.REDIS else None
    with migrating_gateway(tmp_path_factory.mktemp("gateway"), redis_url) as http:
        yield http


@pytest.fixture
def logs() -> Iterator[list[str]]:
    """Every log line of this process, of all levels."""
    with captured_logs() as lines:
        yield lines


@pytest.fixture
def gallery() -> str:
    """A name that no gallery has yet."""
    return f"gallery-{uuid4().hex[:12]}"
