"""The way back after a cut-over, with faces that are missing in the old copy by then."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import numpy as np
import pytest

from contract.vectors import l2_normalize
from service.settings import StoreKind
from tests.integration.galleries import face_ids
from tests.integration.migrations import (
    FIRST,
    ROUNDING,
    THIRD,
    act,
    begin,
    enrol_as,
    enrolled,
    look,
    migrating_gateway,
    refusal,
    served,
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


def test_a_rollback_that_would_lose_a_face_is_refused(client: httpx.Client, gallery: str) -> None:
    enrolled(client, gallery, FIRST, 5)
    migration = begin(client, gallery, THIRD)  # from which no translator leads back
    wait_for(client, migration, "ready")
    act(client, migration, "cutover")
    enrol_as(client, gallery, THIRD, ["newcomer"], ["somebody"], random_features(1, THIRD.dim, seed=9))
    assert refusal(client.post(f"/migrations/{migration}/rollback")) == (409, "copy-incomplete")
    after = look(client, migration)
    assert (after["state"], after["progress"]["missing"]) == ("serving", 1)
    assert client.delete(f"/galleries/{gallery}/faces/newcomer").status_code == 204
    assert act(client, migration, "rollback")["state"] == "ready"


def test_a_rollback_may_leave_faces_behind_until_the_next_cut_over(client: httpx.Client, gallery: str) -> None:
    faces = enrolled(client, gallery, FIRST, 5)
    migration = begin(client, gallery, THIRD)  # from which no translator leads back
    wait_for(client, migration, "ready")
    act(client, migration, "cutover")
    natives = random_features(2, THIRD.dim, seed=9)
    late = ["face-003", "newcomer"]
    enrol_as(client, gallery, THIRD, late, ["subject-001", "somebody"], natives)
    assert refusal(client.post(f"/migrations/{migration}/rollback", json={})) == (409, "copy-incomplete")

    response = client.post(f"/migrations/{migration}/rollback", json={"allow_missing": True})
    assert response.status_code == 200, response.text
    for answer in (response.json(), look(client, migration)):
        assert answer["state"] == "ready"
        assert (answer["progress"]["faces"], answer["progress"]["missing"], answer["progress"]["unserved"]) == (6, 0, 2)
    serving = client.get(f"/galleries/{gallery}").json()["copies"][0]
    assert (serving["model"], serving["faces"], serving["missing"]) == (FIRST.id, 4, 2)
    kept = [row for row in range(5) if row != 3]
    rows = served(client, gallery, FIRST, 10)
    assert sorted(rows) == [face_ids(5)[row] for row in kept]
    np.testing.assert_allclose([rows[face] for face in sorted(rows)], l2_normalize(faces[kept]), atol=ROUNDING)
    for face in late:
        held = client.get(f"/galleries/{gallery}/faces/{face}").json()["held"]
        assert [copy["model"] for copy in held] == [THIRD.id]

    enrol_as(client, gallery, FIRST, ["face-003"], ["subject-001"], faces[3:4])
    assert look(client, migration)["progress"]["unserved"] == 1
    after = act(client, migration, "cutover")
    assert (after["state"], after["progress"]["missing"], after["progress"]["unserved"]) == ("serving", 1, 0)
    rows = served(client, gallery, THIRD, 10)
    assert sorted(rows) == [*face_ids(5), "newcomer"]
    np.testing.assert_allclose(rows["newcomer"], l2_normalize(natives)[1], atol=ROUNDING)
