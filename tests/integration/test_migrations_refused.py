"""Migrations that are refused: the right problem, and nothing half done."""

from typing import Any, NamedTuple

import httpx
import pytest

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
    refusal,
    wait_for,
)
from tests.integration.stack import random_features


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
    migrator: httpx.Client, gallery: str, case: Bad, plan_only: bool
) -> None:
    enrolled(migrator, gallery, FIRST, 3)
    body = {"plan_only": True} | case.body if plan_only and isinstance(case.body, dict) else case.body
    assert refusal(migrator.post(f"/galleries/{case.gallery or gallery}/migrations", json=body)) == (
        case.status,
        case.code,
    )
    assert copies(migrator, gallery) == [FIRST.id]
    assert all(m["gallery"] != gallery for m in migrator.get("/migrations").json()["migrations"])


def test_an_origin_without_route_is_named_with_its_faces(migrator: httpx.Client, gallery: str) -> None:
    enrolled(migrator, gallery, THIRD, 2)
    enrol_as(migrator, gallery, ALONE, ["a", "b", "c"], ["a", "b", "c"], random_features(3, ALONE.dim))
    response = migrator.post(f"/galleries/{gallery}/migrations", json={"target_model": SECOND.id})
    assert refusal(response) == (404, "no-route")
    assert "'alone-8' (3 faces), 'third-20' (2 faces)" in response.json()["detail"]


def test_of_two_migrations_of_one_gallery_the_second_is_refused(migrator: httpx.Client, gallery: str) -> None:
    enrolled(migrator, gallery, FIRST, 3)
    migration = begin(migrator, gallery, SECOND)
    for target in (SECOND, THIRD):
        for plan_only in (False, True):
            body = {"target_model": target.id, "plan_only": plan_only}
            assert refusal(migrator.post(f"/galleries/{gallery}/migrations", json=body)) == (409, "copy-exists")
    wait_for(migrator, migration, "ready")
    assert copies(migrator, gallery) == [FIRST.id, SECOND.id]


REFUSED = {
    "ready": ["rollback", "complete", "resume"],
    "serving": ["cutover", "cancel", "resume"],
    "completed": ["cutover", "rollback", "complete", "cancel", "resume"],
}


def test_a_step_out_of_order_is_refused_and_changes_nothing(migrator: httpx.Client, gallery: str) -> None:
    enrolled(migrator, gallery, FIRST, 3)
    migration = begin(migrator, gallery, SECOND)
    wait_for(migrator, migration, "ready")
    for state, forward in zip(REFUSED, ("cutover", "complete", None), strict=True):
        for step in REFUSED[state]:
            assert refusal(migrator.post(f"/migrations/{migration}/{step}")) == (409, "migration-state"), (state, step)
        assert look(migrator, migration)["state"] == state
        if forward:
            act(migrator, migration, forward)


@pytest.mark.parametrize("body", [{"allow_missing": "yes"}, {"allow_missing": None}, {"force": True}, [], "all"])
def test_a_bad_rollback_is_refused_and_changes_nothing(migrator: httpx.Client, gallery: str, body: object) -> None:
    enrolled(migrator, gallery, FIRST, 3)
    migration = begin(migrator, gallery, SECOND)
    wait_for(migrator, migration, "ready")
    act(migrator, migration, "cutover")
    assert refusal(migrator.post(f"/migrations/{migration}/rollback", json=body)) == (400, "malformed")
    assert copies(migrator, gallery) == [SECOND.id, FIRST.id]


@pytest.mark.parametrize("step", ["", "/cutover", "/rollback", "/complete", "/cancel", "/resume"])
def test_an_unknown_migration_is_said_to_be_unknown(migrator: httpx.Client, step: str) -> None:
    ask = migrator.post if step else migrator.get
    assert refusal(ask(f"/migrations/nothing{step}")) == (404, "unknown-migration")
    assert refusal(ask(f"/migrations/No.Thing-{step}")) == (400, "malformed")
