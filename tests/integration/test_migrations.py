"""A gallery moves to another encoder over HTTP, with a real engine and each of the two stores."""

from typing import Any

import httpx
import numpy as np
import pytest

from contract.vectors import Features, l2_normalize
from deploy.process import wait_until
from tests.integration.galleries import face_ids
from tests.integration.migrations import (
    DEADLINE_S,
    FIRST,
    ROUNDING,
    SECOND,
    THIRD,
    act,
    assert_serves,
    begin,
    copies,
    enrol_as,
    enrolled,
    look,
    served,
    translated,
    wait_for,
)
from tests.integration.stack import random_features

FACES = 150


def search(migrator: httpx.Client, gallery: str, model: str, probes: Features) -> list[dict[str, Any]]:
    body = {"source_model": model, "gallery": gallery, "features": probes.tolist(), "top_k": 3}
    response = migrator.post("/search", json=body)
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def test_a_gallery_moves_to_another_encoder_and_back_and_for_good(migrator: httpx.Client, gallery: str) -> None:
    faces = enrolled(migrator, gallery, FIRST, FACES)
    expected = translated(l2_normalize(faces), FIRST, SECOND)
    migration = begin(migrator, gallery, SECOND)
    ready = wait_for(migrator, migration, "ready")
    assert (ready["source_model"], ready["target_model"], ready["reason"]) == (FIRST.id, SECOND.id, None)
    assert ready["progress"] == {
        "faces": FACES,
        "filled": FACES,
        "missing": 0,
        "unserved": 0,
        "faces_per_second": None,
        "seconds_left": None,
    }
    assert copies(migrator, gallery) == [FIRST.id, SECOND.id]
    assert_serves(migrator, gallery, FIRST, l2_normalize(faces))

    assert act(migrator, migration, "cutover")["state"] == "serving"
    assert copies(migrator, gallery) == [SECOND.id, FIRST.id]
    assert_serves(migrator, gallery, SECOND, expected)
    found = search(migrator, gallery, FIRST.id, faces[:5])
    assert [result["matches"][0]["face_id"] for result in found] == face_ids(5)

    assert act(migrator, migration, "rollback")["state"] == "ready"
    assert_serves(migrator, gallery, FIRST, l2_normalize(faces))
    act(migrator, migration, "cutover")
    done = act(migrator, migration, "complete")
    assert (done["state"], done["progress"]) == ("completed", None)
    assert copies(migrator, gallery) == [SECOND.id]
    assert_serves(migrator, gallery, SECOND, expected)
    listed = migrator.get("/migrations").json()["migrations"]
    assert [m["state"] for m in listed if m["id"] == migration] == ["completed"]


def test_a_derived_face_says_what_made_it(migrator: httpx.Client, gallery: str) -> None:
    enrolled(migrator, gallery, FIRST, 3)
    migration = begin(migrator, gallery, SECOND)
    wait_for(migrator, migration, "ready")
    held = {copy["model"]: copy for copy in migrator.get(f"/galleries/{gallery}/faces/face-000").json()["held"]}
    assert held[FIRST.id]["translator"] is None
    assert held[SECOND.id]["translator"] == f"{FIRST.id}--{SECOND.id}@1"
    assert held[SECOND.id]["derived_from"] == FIRST.id


def test_a_chain_of_migrations_translates_from_the_original(migrator: httpx.Client, gallery: str) -> None:
    faces = enrolled(migrator, gallery, FIRST, FACES)
    for target in (SECOND, THIRD):
        migration = begin(migrator, gallery, target)
        wait_for(migrator, migration, "ready")
        act(migrator, migration, "cutover")
        act(migrator, migration, "complete")
    assert_serves(migrator, gallery, THIRD, translated(l2_normalize(faces), FIRST, THIRD))
    straight = f"{gallery}-straight"
    enrolled(migrator, straight, FIRST, FACES)
    migration = begin(migrator, straight, THIRD)
    wait_for(migrator, migration, "ready")
    act(migrator, migration, "cutover")
    chained, direct = (served(migrator, name, THIRD, FACES) for name in (gallery, straight))
    for face in face_ids(FACES):
        np.testing.assert_array_equal(chained[face], direct[face])


def test_a_face_enrolled_natively_later_wins_and_deleted_ones_stay_away(migrator: httpx.Client, gallery: str) -> None:
    faces = enrolled(migrator, gallery, FIRST, 10)
    migration = begin(migrator, gallery, SECOND)
    wait_for(migrator, migration, "ready")
    native = random_features(1, SECOND.dim, seed=9)
    enrol_as(migrator, gallery, SECOND, ["face-002"], ["subject-001"], native)
    assert migrator.delete(f"/galleries/{gallery}/faces/face-003").status_code == 204
    act(migrator, migration, "cutover")
    rows = served(migrator, gallery, SECOND, 10)
    assert sorted(rows) == [face for face in face_ids(10) if face != "face-003"]
    np.testing.assert_allclose(rows["face-002"], l2_normalize(native)[0], atol=ROUNDING)
    np.testing.assert_allclose(rows["face-001"], translated(l2_normalize(faces), FIRST, SECOND)[1], atol=ROUNDING)
    held = {copy["model"]: copy for copy in migrator.get(f"/galleries/{gallery}/faces/face-002").json()["held"]}
    assert held[SECOND.id]["translator"] is None


def test_native_originals_of_the_target_are_written_as_they_are(migrator: httpx.Client, gallery: str) -> None:
    faces = enrolled(migrator, gallery, FIRST, 4)
    native = random_features(1, SECOND.dim, seed=9)
    enrol_as(migrator, gallery, SECOND, ["face-001"], ["subject-000"], native)  # on its way in translated to FIRST
    plan = migrator.post(f"/galleries/{gallery}/migrations", json={"target_model": SECOND.id, "plan_only": True}).json()
    assert (plan["faces_to_translate"], plan["faces_native"]) == (3, 1)
    migration = begin(migrator, gallery, SECOND)
    wait_for(migrator, migration, "ready")
    act(migrator, migration, "cutover")
    expected = translated(l2_normalize(faces), FIRST, SECOND)
    expected[1] = l2_normalize(native)[0]
    assert_serves(migrator, gallery, SECOND, expected)


def test_a_plan_says_what_is_needed_and_changes_nothing(migrator: httpx.Client, gallery: str) -> None:
    enrolled(migrator, gallery, FIRST, FACES)
    response = migrator.post(f"/galleries/{gallery}/migrations", json={"target_model": SECOND.id, "plan_only": True})
    assert response.status_code == 200
    plan = response.json()
    (origin,) = plan["origins"]
    assert (origin["model"], origin["faces"]) == (FIRST.id, FACES)
    assert (origin["translator"], origin["method"]) == (f"{FIRST.id}--{SECOND.id}@1", "affine")
    assert (plan["faces_to_translate"], plan["faces_native"], plan["sampled"]) == (FACES, 0, FACES)
    assert plan["bytes_needed"] >= FACES * 4 * SECOND.dim
    assert plan["seconds"] == pytest.approx(FACES / plan["faces_per_second"])
    assert copies(migrator, gallery) == [FIRST.id]
    assert all(m["gallery"] != gallery for m in migrator.get("/migrations").json()["migrations"])


def test_an_empty_gallery_is_ready_at_once(migrator: httpx.Client, gallery: str) -> None:
    migrator.put(f"/galleries/{gallery}", json={"model": FIRST.id})
    response = migrator.post(f"/galleries/{gallery}/migrations", json={"target_model": SECOND.id})
    assert (response.status_code, response.json()["state"]) == (201, "ready")
    act(migrator, response.json()["id"], "cutover")


def test_cancelled_nothing_is_left_and_another_can_begin(migrator: httpx.Client, gallery: str) -> None:
    faces = enrolled(migrator, gallery, FIRST, FACES)
    migration = begin(migrator, gallery, SECOND)
    assert act(migrator, migration, "cancel")["state"] == "cancelled"
    assert copies(migrator, gallery) == [FIRST.id]
    again = begin(migrator, gallery, THIRD)
    wait_for(migrator, again, "ready")
    act(migrator, again, "cutover")
    assert_serves(migrator, gallery, THIRD, translated(l2_normalize(faces), FIRST, THIRD))
    assert look(migrator, migration)["state"] == "cancelled"


def test_the_shadow_answers_live_searches_from_both_copies(migrator: httpx.Client, gallery: str) -> None:
    faces = enrolled(migrator, gallery, FIRST, 20)
    migration = begin(migrator, gallery, THIRD)
    wait_for(migrator, migration, "ready")

    def shadow() -> dict[str, Any]:
        search(migrator, gallery, FIRST.id, faces[:4])
        report: dict[str, Any] = look(migrator, migration)["shadow"]
        return report

    wait_until(lambda: shadow()["searches"] >= 2, DEADLINE_S, "shadow searches")
    report = shadow()
    assert report["probes"] == report["compared"] == 4 * report["searches"]
    assert report["top_1_agreement"] == 1.0  # a face finds itself in both
    assert report["rank_changes"] == 0.0
    assert 0 < report["top_k_overlap"] <= 1
    assert abs(report["similarity_shift"]) < ROUNDING
    assert (report["dropped"], report["failed"]) == (0, 0)
    act(migrator, migration, "cutover")
    enrol_as(migrator, gallery, THIRD, ["newcomer"], ["newcomer"], random_features(1, THIRD.dim))
    lacking = f'r3an_migration_missing_faces{{gallery="{gallery}"}} 1.0'  # no route leads back: the old copy lacks it
    wait_until(lambda: lacking in migrator.get("/metrics").text, DEADLINE_S, "the worker to look after the cut-over")

    def repeated_since() -> int:
        """How many searches of three probes: those before the cut-over, which are counted late, had four."""
        search(migrator, gallery, FIRST.id, faces[:3])
        report = look(migrator, migration)["shadow"]
        return int(4 * report["searches"] - report["probes"])

    wait_until(lambda: repeated_since() > 0, DEADLINE_S, "shadow searches after the cut-over")
    metrics = migrator.get("/metrics").text
    assert 'r3an_migration_shadow_searches_total{outcome="compared"}' in metrics
    assert 'r3an_migration_faces_total{outcome="filled"}' in metrics


def test_a_migration_ends_with_its_gallery(migrator: httpx.Client, gallery: str) -> None:
    enrolled(migrator, gallery, FIRST, 5)
    migration = begin(migrator, gallery, SECOND)
    assert migrator.delete(f"/galleries/{gallery}").status_code == 204
    ended = wait_for(migrator, migration, "cancelled")
    assert ended["reason"] == "gallery-deleted"
    enrolled(migrator, gallery, FIRST, 5)
    begin(migrator, gallery, SECOND)


def test_no_feature_face_or_subject_is_in_what_is_told(migrator: httpx.Client, gallery: str) -> None:
    enrolled(migrator, gallery, FIRST, 3)
    migration = begin(migrator, gallery, SECOND)
    wait_for(migrator, migration, "ready")
    told = migrator.get(f"/migrations/{migration}").text + migrator.get("/metrics").text
    assert "face-00" not in told
    assert "subject-00" not in told
