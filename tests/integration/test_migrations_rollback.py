"""The way back after a cut-over, with faces that are missing in the old copy by then."""

import httpx
import numpy as np

from contract.vectors import l2_normalize
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
    refusal,
    served,
    wait_for,
)
from tests.integration.stack import random_features


def test_a_rollback_that_would_lose_a_face_is_refused(migrator: httpx.Client, gallery: str) -> None:
    enrolled(migrator, gallery, FIRST, 5)
    migration = begin(migrator, gallery, THIRD)  # from which no translator leads back
    wait_for(migrator, migration, "ready")
    act(migrator, migration, "cutover")
    enrol_as(migrator, gallery, THIRD, ["newcomer"], ["somebody"], random_features(1, THIRD.dim, seed=9))
    assert refusal(migrator.post(f"/migrations/{migration}/rollback")) == (409, "copy-incomplete")
    after = look(migrator, migration)
    assert (after["state"], after["progress"]["missing"]) == ("serving", 1)
    assert migrator.delete(f"/galleries/{gallery}/faces/newcomer").status_code == 204
    assert act(migrator, migration, "rollback")["state"] == "ready"


def test_a_rollback_may_leave_faces_behind_until_the_next_cut_over(migrator: httpx.Client, gallery: str) -> None:
    faces = enrolled(migrator, gallery, FIRST, 5)
    migration = begin(migrator, gallery, THIRD)  # from which no translator leads back
    wait_for(migrator, migration, "ready")
    act(migrator, migration, "cutover")
    natives = random_features(2, THIRD.dim, seed=9)
    late = ["face-003", "newcomer"]
    enrol_as(migrator, gallery, THIRD, late, ["subject-001", "somebody"], natives)
    assert refusal(migrator.post(f"/migrations/{migration}/rollback", json={})) == (409, "copy-incomplete")

    response = migrator.post(f"/migrations/{migration}/rollback", json={"allow_missing": True})
    assert response.status_code == 200, response.text
    for answer in (response.json(), look(migrator, migration)):
        assert answer["state"] == "ready"
        assert (answer["progress"]["faces"], answer["progress"]["missing"], answer["progress"]["unserved"]) == (6, 0, 2)
    serving = migrator.get(f"/galleries/{gallery}").json()["copies"][0]
    assert (serving["model"], serving["faces"], serving["missing"]) == (FIRST.id, 4, 2)
    kept = [row for row in range(5) if row != 3]
    rows = served(migrator, gallery, FIRST, 10)
    assert sorted(rows) == [face_ids(5)[row] for row in kept]
    np.testing.assert_allclose([rows[face] for face in sorted(rows)], l2_normalize(faces[kept]), atol=ROUNDING)
    for face in late:
        held = migrator.get(f"/galleries/{gallery}/faces/{face}").json()["held"]
        assert [copy["model"] for copy in held] == [THIRD.id]

    enrol_as(migrator, gallery, FIRST, ["face-003"], ["subject-001"], faces[3:4])
    assert look(migrator, migration)["progress"]["unserved"] == 1
    after = act(migrator, migration, "cutover")
    assert (after["state"], after["progress"]["missing"], after["progress"]["unserved"]) == ("serving", 1, 0)
    rows = served(migrator, gallery, THIRD, 10)
    assert sorted(rows) == [*face_ids(5), "newcomer"]
    np.testing.assert_allclose(rows["newcomer"], l2_normalize(natives)[1], atol=ROUNDING)
