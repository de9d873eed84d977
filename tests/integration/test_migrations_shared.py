"""Gateway processes on one Redis share a migration; one of them is killed, and the others finish its work."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from contract.manifest import TranslatorManifest
from contract.vectors import Features, l2_normalize
from deploy.gateway import GatewayServer
from deploy.process import wait_until
from deploy.redis.start import RedisServer
from service.engines.echo import EchoEngine
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
from tests.integration.redis_relay import RedisRelay
from tests.integration.stack import gateway_settings

FACES = 100
BATCH = 4
FILL = b"written = written + 1"
TAKEN_OVER_MS = 5_000
NEVER_TAKEN_OVER_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Member:
    """One of several gateways on one Redis, and the relay between them."""

    server: GatewayServer
    client: httpx.Client
    relay: RedisRelay
    portal: BlockingPortal

    def hold(self, passing: int = 0) -> None:
        """Let it claim faces and not write them: the next ones, or those after so many claims."""
        self.portal.call(self.relay.hold, FILL, passing)

    def wait_until_held(self) -> None:
        """Until it has claimed them."""
        wait_until(self.relay.reached.is_set, DEADLINE_S, "a claim to be held")

    def release(self) -> None:
        """Let it go on."""
        self.portal.call(self.relay.released.set)


@contextmanager
def two_gateways(redis: RedisServer, folder: Path, lease_ms: int) -> Iterator[list[Member]]:
    """Gateways that each work on one small claim at a time; the engine is the echo."""
    settings = gateway_settings(write_encoders(folder / "translators"), folder) | {
        "R3AN_ENGINE": "echo",
        "R3AN_GALLERY_STORE": "redis",
        "R3AN_BODY_BYTES_MAX": str(2**20),
        "R3AN_ROWS_MAX": str(FACES),
        "R3AN_MIGRATION_BATCH_FACES": str(BATCH),
        "R3AN_MIGRATION_BATCHES_AT_ONCE": "1",
        "R3AN_MIGRATION_LEASE_MS": str(lease_ms),
        "R3AN_MIGRATION_POLL_S": "0.05",
    }
    with start_blocking_portal() as portal, ExitStack() as stack:
        members = list[Member]()
        for _ in range(2):
            relay = stack.enter_context(portal.wrap_async_context_manager(RedisRelay(redis.url)))
            server = stack.enter_context(GatewayServer(settings | {"R3AN_REDIS_URL": relay.url}))
            client = stack.enter_context(httpx.Client(base_url=server.url, timeout=DEADLINE_S))
            members.append(Member(server, client, relay, portal))
        yield members


def echoed(features: Features) -> Features:
    """What the echo engine makes of FIRST."""
    return l2_normalize(features[:, : SECOND.dim])


def counted(client: httpx.Client, outcome: str) -> float:
    """How many faces a gateway has counted."""
    name = f'r3an_migration_faces_total{{outcome="{outcome}"}} '
    lines = (line for line in client.get("/metrics").text.splitlines() if line.startswith(name))
    return next((float(line.removeprefix(name)) for line in lines), 0.0)


def test_two_processes_share_a_job_and_do_nothing_twice(
    redis_server: RedisServer, gallery: str, tmp_path: Path
) -> None:
    with two_gateways(redis_server, tmp_path, NEVER_TAKEN_OVER_MS) as members:
        one, other = (member.client for member in members)
        faces = enrolled(one, gallery, FIRST, FACES)
        for member in members:
            member.hold()
        migration = begin(one, gallery, SECOND)
        for member in members:
            member.wait_until_held()
        assert look(one, migration)["progress"]["filled"] == 0
        for member in members:
            member.release()
        wait_for(other, migration, "ready")
        wait_until(lambda: counted(one, "filled") + counted(other, "filled") == FACES, DEADLINE_S, "all to be counted")
        assert min(counted(one, "filled"), counted(other, "filled")) >= BATCH
        assert counted(one, "left") + counted(other, "left") == 0
        assert FILLS in str(administer(redis_server, "HGET", NOTES_KEY, KEY)), "they told one another nothing"
        act(other, migration, "cutover")
        assert look(one, migration)["state"] == "serving"
        assert_serves(one, gallery, SECOND, echoed(faces))


def test_one_process_finishes_what_a_killed_one_has_left(redis_server: RedisServer, tmp_path: Path) -> None:
    with two_gateways(redis_server, tmp_path, TAKEN_OVER_MS) as (survivor, killed):
        client = survivor.client
        undisturbed, disturbed = (f"{name}-{uuid4().hex[:12]}" for name in ("undisturbed", "disturbed"))
        for gallery in (undisturbed, disturbed):
            enrolled(client, gallery, FIRST, FACES)
        migration = begin(client, undisturbed, SECOND)
        wait_for(client, migration, "ready")
        act(client, migration, "cutover")

        survivor.hold()
        killed.hold(passing=1)
        migration = begin(client, disturbed, SECOND)
        survivor.wait_until_held()
        killed.wait_until_held()
        assert look(client, migration)["progress"]["filled"] == BATCH
        killed.server.process.kill()
        survivor.release()
        wait_for(client, migration, "ready")
        act(client, migration, "cutover")
        rows, expected = (served(client, name, SECOND, FACES) for name in (disturbed, undisturbed))
        assert sorted(rows) == sorted(expected)
        for face, row in rows.items():
            np.testing.assert_array_equal(row, expected[face])


def test_a_redis_that_is_killed_in_mid_job_only_delays_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claims, is_redis_away, echo = list[int](), threading.Event(), EchoEngine.translate

    async def translate(
        self: EchoEngine, manifest: TranslatorManifest, features: Features, timeout_ms: int
    ) -> Features:
        if len(features) == 1:  # the plan's sample is larger
            claims.append(1)
            if len(claims) == 3:
                await asyncio.to_thread(is_redis_away.wait)
        return await echo(self, manifest, features, timeout_ms)

    monkeypatch.setattr(EchoEngine, "translate", translate)
    write_encoders(tmp_path / "model_repository")
    with RedisServer(data=tmp_path / "redis") as redis:
        settings = development_settings(
            tmp_path,
            gallery_store=StoreKind.REDIS,
            redis_url=redis.url,
            migration_batch_faces=1,
            migration_batches_at_once=1,
            migration_lease_ms=NEVER_TAKEN_OVER_MS,
            migration_poll_s=0.05,
        )
        with running_gateway(settings) as client:
            try:
                faces = enrolled(client, "staff", FIRST, 20)
                migration = begin(client, "staff", SECOND)
                wait_until(lambda: len(claims) == 3, DEADLINE_S, "the third claim")
                assert look(client, migration)["progress"]["filled"] == 2
                redis.kill()
                assert refusal(client.get(f"/migrations/{migration}")) == (503, "gallery-unavailable")
            finally:
                is_redis_away.set()
            wait_until(lambda: len(claims) > 3, DEADLINE_S, "the third claim again: it could not be written")
            redis.start()
            wait_until(lambda: client.get("/health/ready").status_code == 200, DEADLINE_S, "the store")
            wait_for(client, migration, "ready")
            act(client, migration, "cutover")
            assert_serves(client, "staff", SECOND, echoed(faces))
