"""Migrations that are refused: the right problem, and nothing half done."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest

from service.settings import StoreKind
from tests.integration.migrations import (
    ALONE,
    FIRST,
    SECOND,
    THIRD,
    act,
    begin,
    copies,
    enrol_as,
    enrolled,
    look,
    migrating_gateway,
    refusal,
    wait_for,
)
from tests.integration.stack import random_features


@pytest.fixture(scope="module", params=list(StoreKind))
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A gateway that migrates galleries, once with each store."""
    redis_url = request.getfixturevalue("redis_server").url if request.param is StoreKind.REDIS else None
    with migrating_gateway(tmp_path_factory.mktemp("gateway"), redis_url) as http:
        yield http


@pytest.fixture
def gallery() -> str:
    """A name nobody else has."""
    return f"gallery-{uuid4().hex[:12]}"


class Bad(NamedTuple):
    """A request that must be refused, and how."""

    gallery: str | None
    body: Any
    status: int
    code: str


BAD = {
    "an unknown gallery": Bad("nowhere", {"target_model": SECOND.id}, 404, "unknown-gallery"),
    "a gallery beyond the grammar": Bad("No.Where-", {"target_model": SECOND.id}, 400, "malformed"),
    "an unknown target": Bad(None, {"target_model": "nobody"}, 404, "unknown-model"),
    "a target beyond the grammar": Bad(None, {"target_model": "../second"}, 400, "malformed"),
    "onto itself": Bad(None, {"target_model": FIRST.id}, 409, "copy-exists"),
    "no route": Bad(None, {"target_model": ALONE.id}, 404, "no-route"),
    "no target": Bad(None, {}, 400, "malformed"),
    "an unknown field": Bad(None, {"target_model": SECOND.id, "force": True}, 400, "malformed"),
    "plan_only that is no boolean": Bad(None, {"target_model": SECOND.id, "plan_only": "yes"}, 400, "malformed"),
    "no object": Bad(None, [SECOND.id], 400, "malformed"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("plan_only", [False, True])
def test_a_bad_migration_is_refused_and_nothing_is_half_done(
    client: httpx.Client, gallery: str, case: Bad, plan_only: bool
) -> None:
    enrolled(client, gallery, FIRST, 3)
    body = {"plan_only": True} | case.body if plan_only and isinstance(case.body, dict) else case.body
    assert refusal(client.post(f"/galleries/{case.gallery or gallery}/migrations", json=body)) == (
        case.status,
        case.code,
    )
    assert copies(client, gallery) == [FIRST.id]
    assert all(m["gallery"] != gallery for m in client.get("/migrations").json()["migrations"])


def test_an_origin_without_route_is_named_with_its_faces(client: httpx.Client, gallery: str) -> None:
    enrolled(client, gallery, THIRD, 2)
    enrol_as(client, gallery, ALONE, ["a", "b", "c"], ["a", "b", "c"], random_features(3, ALONE.dim))
    response = client.post(f"/galleries/{gallery}/migrations", json={"target_model": SECOND.id})
    assert refusal(response) == (404, "no-route")
    assert "'alone-8' (3 faces), 'third-20' (2 faces)" in response.json()["detail"]


def test_of_two_migrations_of_one_gallery_the_second_is_refused(client: httpx.Client, gallery: str) -> None:
    enrolled(client, gallery, FIRST, 3)
    migration = begin(client, gallery, SECOND)
    for target in (SECOND, THIRD):
        for plan_only in (False, True):
            body = {"target_model": target.id, "plan_only": plan_only}
            assert refusal(client.post(f"/galleries/{gallery}/migrations", json=body)) == (409, "copy-exists")
    wait_for(client, migration, "ready")
    assert copies(client, gallery) == [FIRST.id, SECOND.id]


REFUSED = {
    "ready": ["rollback", "complete", "resume"],
    "serving": ["cutover", "cancel", "resume"],
    "completed": ["cutover", "rollback", "complete", "cancel", "resume"],
}


def test_a_step_out_of_order_is_refused_and_changes_nothing(client: httpx.Client, gallery: str) -> None:
    enrolled(client, gallery, FIRST, 3)
    migration = begin(client, gallery, SECOND)
    wait_for(client, migration, "ready")
    for state, forward in zip(REFUSED, ("cutover", "complete", None), strict=True):
        for step in REFUSED[state]:
            assert refusal(client.post(f"/migrations/{migration}/{step}")) == (409, "migration-state"), (state, step)
        assert look(client, migration)["state"] == state
        if forward:
            act(client, migration, forward)


@pytest.mark.parametrize("body", [{"allow_missing": "yes"}, {"allow_missing": None}, {"force": True}, [], "all"])
def test_a_bad_rollback_is_refused_and_changes_nothing(client: httpx.Client, gallery: str, body: object) -> None:
    enrolled(client, gallery, FIRST, 3)
    migration = begin(client, gallery, SECOND)
    wait_for(client, migration, "ready")
    act(client, migration, "cutover")
    assert refusal(client.post(f"/migrations/{migration}/rollback", json=body)) == (400, "malformed")
    assert copies(client, gallery) == [SECOND.id, FIRST.id]


@pytest.mark.parametrize("step", ["", "/cutover", "/rollback", "/complete", "/cancel", "/resume"])
def test_an_unknown_migration_is_said_to_be_unknown(client: httpx.Client, step: str) -> None:
    ask = client.post if step else client.get
    assert refusal(ask(f"/migrations/nothing{step}")) == (404, "unknown-migration")
    assert refusal(ask(f"/migrations/No.Thing-{step}")) == (400, "malformed")
