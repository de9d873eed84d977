"""Gateway processes on one Redis share a migration; one of them is killed, and the others finish its work."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest

from contract.vectors import Features, l2_normalize
from deploy.gateway import GatewayServer
from deploy.process import wait_until
from deploy.redis.start import RedisServer
from service.galleries.redis_records import NOTES_KEY
from service.migration.gateways import FILLS, KEY
from service.settings import StoreKind
from tests.gateway import development_settings, running_gateway
from tests.integration.gallery_stores import administer
from tests.integration.migrations import (
    DEADLINE_S,
    FIRST,
    SECOND,
    act,
    assert_serves,
    begin,
    enrolled,
    look,
    refusal,
    served,
    wait_for,
    write_encoders,
)
from tests.integration.stack import gateway_settings

FACES = 1000
BATCH = 4


@pytest.fixture(scope="module")
def gateways(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[GatewayServer]]:
    """Two gateways with small claims on one Redis; the engine is the echo."""
    folder = tmp_path_factory.mktemp("gateways")
    settings = gateway_settings(write_encoders(folder / "translators"), folder) | {
        "R3AN_ENGINE": "echo",
        "R3AN_GALLERY_STORE": "redis",
        "R3AN_REDIS_URL": redis_server.url,
        "R3AN_ROWS_MAX": str(FACES),
        "R3AN_BODY_BYTES_MAX": str(2**20),
        "R3AN_TOP_K_MAX": "1000",
        "R3AN_MIGRATION_BATCH_FACES": str(BATCH),
        "R3AN_MIGRATION_LEASE_MS": "5000",
        "R3AN_MIGRATION_POLL_S": "0.05",
    }
    with GatewayServer(settings) as one, GatewayServer(settings) as other:
        yield [one, other]


def echoed(features: Features) -> Features:
    """What the echo engine makes of FIRST."""
    return l2_normalize(features[:, : SECOND.dim])


def counted(client: httpx.Client, outcome: str) -> float:
    """How many faces a gateway has counted."""
    name = f'r3an_migration_faces_total{{outcome="{outcome}"}} '
    lines = (line for line in client.get("/metrics").text.splitlines() if line.startswith(name))
    return next((float(line.removeprefix(name)) for line in lines), 0.0)


def test_two_processes_share_a_job_and_one_finishes_what_the_other_left(
    gateways: list[GatewayServer], redis_server: RedisServer
) -> None:
    with ExitStack() as stack:
        one, other = (stack.enter_context(httpx.Client(base_url=g.url, timeout=DEADLINE_S)) for g in gateways)
        undisturbed, disturbed = (f"{name}-{uuid4().hex[:12]}" for name in ("undisturbed", "disturbed"))
        faces = enrolled(one, undisturbed, FIRST, FACES)
        migration = begin(one, undisturbed, SECOND)
        wait_for(other, migration, "ready")
        assert counted(one, "filled") + counted(other, "filled") == FACES
        assert counted(one, "left") + counted(other, "left") == 0
        assert min(counted(one, "filled"), counted(other, "filled")) > 0, "one of them did nothing"
        assert FILLS in str(administer(redis_server, "HGET", NOTES_KEY, KEY)), "they told one another nothing"
        act(other, migration, "cutover")
        assert look(one, migration)["state"] == "serving"
        assert_serves(one, undisturbed, SECOND, echoed(faces))

        enrolled(one, disturbed, FIRST, FACES)
        before = counted(other, "filled")
        migration = begin(one, disturbed, SECOND)
        wait_until(lambda: counted(other, "filled") > before, DEADLINE_S, "the other to work")
        gateways[1].process.kill()
        assert look(one, migration)["state"] == "backfilling", "the job was faster than the test"
        wait_for(one, migration, "ready")
        act(one, migration, "cutover")
        rows, expected = (served(one, name, SECOND, FACES) for name in (disturbed, undisturbed))
        assert sorted(rows) == sorted(expected)
        for face, row in rows.items():
            np.testing.assert_array_equal(row, expected[face])


def test_a_redis_that_is_killed_in_mid_job_only_delays_it(tmp_path: Path) -> None:
    write_encoders(tmp_path / "model_repository")
    with RedisServer(data=tmp_path / "redis") as redis:
        settings = development_settings(
            tmp_path,
            gallery_store=StoreKind.REDIS,
            redis_url=redis.url,
            top_k_max=1000,
            migration_batch_faces=1,
            migration_lease_ms=5_000,
            migration_poll_s=0.05,
        )
        with running_gateway(settings) as client:
            faces = enrolled(client, "staff", FIRST, 300)
            migration = begin(client, "staff", SECOND)
            wait_until(lambda: look(client, migration)["progress"]["filled"] > 0, DEADLINE_S, "some faces")
            redis.kill()
            assert refusal(client.get(f"/migrations/{migration}")) == (503, "gallery-unavailable")
            redis.start()
            wait_until(lambda: client.get("/health/ready").status_code == 200, DEADLINE_S, "the store")
            assert look(client, migration)["state"] == "backfilling", "the job was faster than the test"
            wait_for(client, migration, "ready")
            act(client, migration, "cutover")
            assert_serves(client, "staff", SECOND, echoed(faces))
