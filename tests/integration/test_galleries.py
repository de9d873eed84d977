"""/galleries over HTTP, with the embedded store and with a real Redis: the same answers, the same problems."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from contract.vectors import l2_normalize
from tests.integration.galleries import created_gallery, enrol, enrolment
from tests.integration.stack import random_features
from tests.repository import SOURCE, TARGET


@pytest.fixture
def gallery(client: httpx.Client) -> Iterator[str]:
    """An empty gallery in the target's space."""
    with created_gallery(client, TARGET) as name:
        yield name


def body(**changes: object) -> dict[str, Any]:
    return {"json": enrolment(TARGET, random_features(4, TARGET.dim), **changes)}


def test_a_gallery_is_created_once_listed_and_deleted(client: httpx.Client) -> None:
    with created_gallery(client, TARGET) as gallery:
        copy = {"model": TARGET.id, "dim": TARGET.dim, "faces": 0, "missing": 0, "translators": {}}
        summary = {"gallery": gallery, "model": TARGET.id, "dim": TARGET.dim, "faces": 0, "subjects": 0}
        summary |= {"copies": [copy]}
        again = client.put(f"/galleries/{gallery}", json={"model": TARGET.id})
        described = summary | {"origins": {}, "approximation": None}
        described["incarnation"] = summary["incarnation"] = again.json()["incarnation"]
        assert (again.status_code, again.json()) == (200, described)
        assert client.get(f"/galleries/{gallery}").json() == described
        assert summary in client.get("/galleries").json()["galleries"]
    assert client.get(f"/galleries/{gallery}").json()["code"] == "unknown-gallery"
    assert gallery not in client.get("/galleries").text


def test_a_gallery_never_changes_its_space(client: httpx.Client, gallery: str) -> None:
    response = client.put(f"/galleries/{gallery}", json={"model": SOURCE.id})
    assert (response.status_code, response.json()["code"]) == (409, "space-mismatch")


def test_a_gallery_of_an_unknown_space_is_refused(client: httpx.Client) -> None:
    response = client.put("/galleries/nowhere", json={"model": "nobody"})
    assert (response.status_code, response.json()["code"]) == (404, "unknown-model")
    assert client.get("/galleries/nowhere").status_code == 404


def test_a_subject_is_described_until_its_last_face_goes(client: httpx.Client, gallery: str) -> None:
    enrol(client, gallery, TARGET, random_features(3, TARGET.dim))
    path = f"/galleries/{gallery}/subjects/subject-000"
    assert client.get(path).json() == {"subject": "subject-000", "faces": ["face-000", "face-001"], "metadata": {}}
    metadata = {"name": "x" * 4000, "since": 2026}
    assert client.put(path, json={"metadata": metadata}).status_code == 204
    client.delete(f"/galleries/{gallery}/faces/face-000").raise_for_status()
    assert client.get(path).json() == {"subject": "subject-000", "faces": ["face-001"], "metadata": metadata}
    client.delete(f"/galleries/{gallery}/faces/face-001").raise_for_status()
    gone = client.get(path)
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown-subject")
    enrol(client, gallery, TARGET, random_features(1, TARGET.dim))
    assert client.get(path).json()["metadata"] == {}


@pytest.mark.parametrize(
    ("request_body", "status", "code"),
    [
        ({"metadata": {"name": "x" * 4096}}, 400, "malformed"),
        ({"metadata": "x"}, 400, "malformed"),
        ({}, 400, "malformed"),
        ({"metadata": {}, "colour": "red"}, 400, "malformed"),
    ],
)
def test_a_bad_description_is_refused_and_changes_nothing(
    client: httpx.Client, gallery: str, request_body: dict[str, object], status: int, code: str
) -> None:
    enrol(client, gallery, TARGET, random_features(1, TARGET.dim))
    path = f"/galleries/{gallery}/subjects/subject-000"
    client.put(path, json={"metadata": {"kept": True}}).raise_for_status()
    refused = client.put(path, json=request_body)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert client.get(path).json()["metadata"] == {"kept": True}


def test_a_subject_without_a_face_is_not_described(client: httpx.Client, gallery: str) -> None:
    answer = client.put(f"/galleries/{gallery}/subjects/nobody", json={"metadata": {}})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown-subject")


def test_originals_leave_page_by_page_as_they_were_enrolled(client: httpx.Client, gallery: str) -> None:
    native, foreign = random_features(5, TARGET.dim), random_features(2, seed=1)
    enrol(client, gallery, TARGET, native)
    enrol(client, gallery, SOURCE, foreign)  # face-000 and face-001 anew
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    for expected in (3, 2):
        page = client.get(f"/galleries/{gallery}/originals", params={"limit": "3"} | after).json()
        assert len(page["faces"]) == expected
        found += page["faces"]
        after = {"after": page["next"]}
    assert page["next"] is None
    assert [original["face_id"] for original in found] == [f"face-{row:03d}" for row in range(5)]
    assert [original["origin"] for original in found] == [SOURCE.id] * 2 + [TARGET.id] * 3
    expected_features = [*l2_normalize(foreign), *l2_normalize(native[2:])]
    for original, feature in zip(found, expected_features, strict=True):
        sent = np.frombuffer(base64.b64decode(original["feature"]), dtype="<f4")
        np.testing.assert_allclose(sent, feature, atol=5e-4)  # Redis keeps float16
    told = client.get(f"/galleries/{gallery}/faces/face-004").json()
    assert all(found[4][field] == told[field] for field in ("subject", "tags", "enrolled_at", "metadata", "origin"))
    assert found[4]["subject_metadata"] == {}


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=many", "after=.secret", "after="])
def test_a_bad_page_of_originals_is_refused(client: httpx.Client, gallery: str, query: str) -> None:
    answer = client.get(f"/galleries/{gallery}/originals?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


def test_faces_and_subjects_are_deleted(client: httpx.Client, gallery: str) -> None:
    enrol(client, gallery, TARGET, random_features(6, TARGET.dim))
    assert client.delete(f"/galleries/{gallery}/faces/face-000").status_code == 204
    assert client.get(f"/galleries/{gallery}/faces/face-000").json()["code"] == "unknown-face"
    assert client.delete(f"/galleries/{gallery}/faces/face-000").json()["code"] == "unknown-face"
    deleted = client.delete(f"/galleries/{gallery}/subjects/subject-001")
    assert (deleted.status_code, deleted.json()) == (200, {"deleted": 2})
    again = client.delete(f"/galleries/{gallery}/subjects/subject-001")
    assert (again.status_code, again.json()["code"]) == (404, "unknown-subject")
    description = client.get(f"/galleries/{gallery}").json()
    assert (description["faces"], description["subjects"]) == (3, 2)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/faces/a"),
        ("DELETE", "/faces/a"),
        ("GET", "/subjects/a"),
        ("PUT", "/subjects/a"),
        ("DELETE", "/subjects/a"),
        ("GET", "/originals"),
        ("POST", "/faces"),
    ],
)
def test_an_unknown_gallery_is_named_as_such(client: httpx.Client, method: str, path: str) -> None:
    request = {"POST": body(), "PUT": {"json": {"metadata": {}}}}.get(method, {})
    response = client.request(method, f"/galleries/nowhere{path}", **request)
    assert (response.status_code, response.json()["code"]) == (404, "unknown-gallery")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/galleries/Sec%20ret"),
        ("PUT", "/galleries/SECRET"),
        ("DELETE", "/galleries/-secret"),
        ("GET", "/galleries/staff/faces/sec%20ret"),
        ("DELETE", "/galleries/staff/faces/.secret"),
        ("DELETE", "/galleries/staff/subjects/secret%0A"),
        ("DELETE", f"/galleries/staff/subjects/{'secret' * 30}"),
    ],
)
def test_a_name_beyond_the_grammar_is_malformed_and_not_repeated(client: httpx.Client, method: str, path: str) -> None:
    response = client.request(method, path, **({"json": {"model": TARGET.id}} if method == "PUT" else {}))
    assert (response.status_code, response.json()["code"]) == (400, "malformed")
    assert "ecret" not in response.text.lower()
