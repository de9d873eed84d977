"""A gateway process that is killed in the middle of a migration, and started again."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from contract.vectors import l2_normalize
from deploy.gateway import GatewayServer
from deploy.process import wait_until
from tests.integration.galleries import face_ids
from tests.integration.migrations import (
    DEADLINE_S,
    FIRST,
    SECOND,
    act,
    assert_serves,
    begin,
    enrolled,
    look,
    translated,
    wait_for,
    write_encoders,
)
from tests.integration.stack import gateway_settings

GALLERY = "staff"
FACES = 300
KILLS = 2


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Translators between three encoders."""
    return write_encoders(tmp_path_factory.mktemp("translators"))


def slow_settings(repository: Path, galleries: Path) -> dict[str, str]:
    """One face a claim, so that there is a middle."""
    return gateway_settings(repository, galleries) | {
        "R3AN_ROWS_MAX": str(FACES),
        "R3AN_BODY_BYTES_MAX": str(2**20),
        "R3AN_TOP_K_MAX": "1000",
        "R3AN_MIGRATION_BATCH_FACES": "1",
        "R3AN_MIGRATION_BATCHES_AT_ONCE": "1",
        "R3AN_MIGRATION_LEASE_MS": "5000",
        "R3AN_MIGRATION_POLL_S": "0.05",
    }


def filled(client: httpx.Client, migration: str) -> int:
    """How many faces the new copy has."""
    return int(look(client, migration)["progress"]["filled"])


def has_more_than(before: int, client: httpx.Client, migration: str) -> bool:
    """Whether the copy has grown."""
    return filled(client, migration) > before


def test_killed_in_mid_backfill_the_job_finishes_as_if_undisturbed(repository: Path, tmp_path: Path) -> None:
    settings = slow_settings(repository, tmp_path)
    with GatewayServer(settings) as gateway, ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=gateway.url, timeout=DEADLINE_S))
        faces = enrolled(client, GALLERY, FIRST, FACES)
        migration = begin(client, GALLERY, SECOND)
        deleted: list[str] = []
        for kill in range(KILLS):
            before = filled(client, migration)
            wait_until(partial(has_more_than, before, client, migration), DEADLINE_S, "some faces")
            doomed = face_ids(FACES)[FACES - 1 - kill]  # and a deletion acknowledged during the job
            assert client.delete(f"/galleries/{GALLERY}/faces/{doomed}").status_code == 204
            deleted.append(doomed)
            assert filled(client, migration) < FACES - len(deleted), "the job was faster than the test"
            gateway.process.kill()
            gateway.start()
        wait_for(client, migration, "ready")
        for face in deleted:
            assert client.get(f"/galleries/{GALLERY}/faces/{face}").status_code == 404
        act(client, migration, "cutover")
        kept = len(faces) - len(deleted)
        assert_serves(client, GALLERY, SECOND, translated(l2_normalize(faces[:kept]), FIRST, SECOND))


def test_a_gateway_killed_after_any_step_starts_with_that_step_done(repository: Path, tmp_path: Path) -> None:
    settings = slow_settings(repository, tmp_path) | {"R3AN_MIGRATION_BATCH_FACES": "512", "R3AN_ENGINE": "echo"}
    with GatewayServer(settings) as gateway, httpx.Client(base_url=gateway.url, timeout=DEADLINE_S) as client:
        enrolled(client, GALLERY, FIRST, 20)
        migration = begin(client, GALLERY, SECOND)
        wait_for(client, migration, "ready")
        for step, state, serving in (
            ("cutover", "serving", SECOND),
            ("rollback", "ready", FIRST),
            ("cutover", "serving", SECOND),
            ("complete", "completed", SECOND),
        ):
            act(client, migration, step)
            gateway.process.kill()
            gateway.start()
            assert look(client, migration)["state"] == state
            assert client.get(f"/galleries/{GALLERY}").json()["model"] == serving.id
