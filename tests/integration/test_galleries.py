"""/galleries over HTTP, with the embedded store and with a real Redis: the same answers, the same problems."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest

from contract.vectors import Features
from tests.integration.galleries import created_gallery, enrol, enrolment
from tests.integration.stack import BODY_BYTES_MAX, OTHER_SOURCE, OTHER_TARGET, ROWS_MAX, eager, random_features
from tests.repository import SOURCE, TARGET

TRANSLATOR = f"{SOURCE.id}--{TARGET.id}"


class Bad(NamedTuple):
    """A body that must be refused, and how."""

    request: dict[str, Any]
    status: int
    code: str
    row: int | None = None


@pytest.fixture
def gallery(client: httpx.Client) -> Iterator[str]:
    """An empty gallery in the target's space."""
    with created_gallery(client, TARGET) as name:
        yield name


def spoilt(row: int, value: float) -> Features:
    features = random_features(4, TARGET.dim)
    features[row] = value
    return features


def body(**changes: object) -> dict[str, Any]:
    return {"json": enrolment(TARGET, random_features(4, TARGET.dim), **changes)}


def with_features(features: Features) -> dict[str, Any]:
    return body(features=features.tolist())


def face(face_id: str, subject: str = "somebody") -> dict[str, str]:
    return {"face_id": face_id, "subject": subject}


BAD = {
    "unknown source model": Bad(body(source_model="nobody"), 404, "unknown-model"),
    "no route": Bad(body(source_model=OTHER_TARGET.id), 404, "no-route"),
    "wrong dimension": Bad(with_features(random_features(4, TARGET.dim + 1)), 422, "wrong-dimension", 0),
    "zero vector": Bad(with_features(spoilt(2, 0.0)), 422, "zero-vector", 2),
    "magnitude out of range": Bad(with_features(spoilt(1, 1e7)), 422, "out-of-range", 1),
    "infinity": Bad(with_features(np.where(spoilt(3, 7.0) == 7.0, 1e39, 1.0)), 422, "not-finite", 3),
    "zero vector to translate": Bad(
        {"json": enrolment(SOURCE, random_features(2) * np.float32([[1], [0]]))}, 422, "zero-vector", 1
    ),
    "a face_id twice": Bad(body(faces=[face("a"), face("b"), face("c"), face("b")]), 400, "malformed", 3),
    "more features than faces": Bad(body(faces=[face("a"), face("b")]), 400, "malformed"),
    "more faces than features": Bad(with_features(random_features(3, TARGET.dim)), 400, "malformed"),
    "a face_id beyond the grammar": Bad(
        body(faces=[face("a"), face("b/c"), face("d"), face("e")]), 400, "malformed", 1
    ),
    "a subject beyond the grammar": Bad(body(faces=[face("a", "\u00fc")] * 4), 400, "malformed", 0),
    "a face without subject": Bad(body(faces=[face("a"), {"face_id": "b"}] * 2), 400, "malformed", 1),
    "no faces": Bad(body(faces=[], features=[]), 400, "malformed"),
    "an unknown field": Bad(body(colour="red"), 400, "malformed"),
    "no JSON": Bad({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "malformed"),
    "octet-stream": Bad(
        {"content": b"1234", "headers": {"content-type": "application/octet-stream"}}, 415, "unsupported-media-type"
    ),
    "too many rows": Bad(
        {"json": enrolment(TARGET, np.ones((ROWS_MAX + 1, TARGET.dim), np.float32))}, 413, "too-large"
    ),
    "too many bytes": Bad({"content": b" " * (BODY_BYTES_MAX + 1)}, 413, "too-large"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_a_bad_enrolment_is_refused_with_its_row_and_changes_nothing(
    client: httpx.Client, gallery: str, case: Bad
) -> None:
    response = client.post(f"/galleries/{gallery}/faces", **case.request)
    problem = response.json()
    assert (response.status_code, problem["code"], problem.get("row")) == (case.status, case.code, case.row)
    assert response.headers["content-type"] == "application/problem+json"
    assert client.get(f"/galleries/{gallery}").json()["faces"] == 0


def test_a_gallery_is_created_once_listed_and_deleted(client: httpx.Client) -> None:
    with created_gallery(client, TARGET) as gallery:
        description = {"gallery": gallery, "model": TARGET.id, "dim": TARGET.dim, "faces": 0, "subjects": 0}
        again = client.put(f"/galleries/{gallery}", json={"model": TARGET.id})
        assert (again.status_code, again.json()) == (200, description)
        assert client.get(f"/galleries/{gallery}").json() == description
        assert description in client.get("/galleries").json()["galleries"]
    assert client.get(f"/galleries/{gallery}").json()["code"] == "unknown-gallery"
    assert gallery not in client.get("/galleries").text


def test_a_gallery_never_changes_its_space(client: httpx.Client, gallery: str) -> None:
    response = client.put(f"/galleries/{gallery}", json={"model": SOURCE.id})
    assert (response.status_code, response.json()["code"]) == (409, "space-mismatch")


def test_a_gallery_of_an_unknown_space_is_refused(client: httpx.Client) -> None:
    response = client.put("/galleries/nowhere", json={"model": "nobody"})
    assert (response.status_code, response.json()["code"]) == (404, "unknown-model")
    assert client.get("/galleries/nowhere").status_code == 404


def test_native_faces_are_enrolled_and_replaced(client: httpx.Client, gallery: str) -> None:
    features = random_features(6, TARGET.dim)
    assert enrol(client, gallery, TARGET, features[:4]) == {"enrolled": 4, "new": 4, "translator": None}
    assert enrol(client, gallery, TARGET, features) == {"enrolled": 6, "new": 2, "translator": None}
    description = client.get(f"/galleries/{gallery}").json()
    assert (description["faces"], description["subjects"]) == (6, 3)
    assert client.get(f"/galleries/{gallery}/faces/face-003").json() == {
        "face_id": "face-003",
        "subject": "subject-001",
        "derived_from": None,
        "translator": None,
    }


def test_faces_of_a_source_space_are_translated_on_the_way_in_and_marked(client: httpx.Client, gallery: str) -> None:
    features = random_features(4)
    answer = enrol(client, gallery, SOURCE, features)
    assert answer == {"enrolled": 4, "new": 4, "translator": {"id": TRANSLATOR, "version": 1}}
    stored = client.get(f"/galleries/{gallery}/faces/face-000").json()
    assert (stored["derived_from"], stored["translator"]) == (SOURCE.id, f"{TRANSLATOR}@1")
    probe = {"source_model": TARGET.id, "gallery": gallery, "features": eager(features[2:3]).tolist(), "top_k": 1}
    [[match]] = [result["matches"] for result in client.post("/search", json=probe).json()["results"]]
    assert match["face_id"] == "face-002"
    assert match["similarity"] == pytest.approx(1.0, abs=1e-3)


def test_a_face_enrolled_again_with_a_native_feature_is_no_longer_derived(client: httpx.Client, gallery: str) -> None:
    enrol(client, gallery, SOURCE, random_features(1))
    enrol(client, gallery, TARGET, random_features(1, TARGET.dim))
    assert client.get(f"/galleries/{gallery}/faces/face-000").json()["derived_from"] is None


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
        ("DELETE", "/subjects/a"),
        ("POST", "/faces"),
    ],
)
def test_an_unknown_gallery_is_named_as_such(client: httpx.Client, method: str, path: str) -> None:
    request = body() if method == "POST" else {}
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


def test_answers_and_problems_never_repeat_a_subject(client: httpx.Client, gallery: str) -> None:
    twice = [{"face_id": "private-face", "subject": "private-person"}] * 2
    response = client.post(f"/galleries/{gallery}/faces", **body(faces=twice, features=[[1.0] * TARGET.dim] * 2))
    assert response.status_code == 400
    assert "private" not in response.text
    assert "private" not in client.get("/metrics").text


def test_the_other_source_has_its_own_route(client: httpx.Client) -> None:
    with created_gallery(client, OTHER_TARGET) as gallery:
        answer = enrol(client, gallery, OTHER_SOURCE, random_features(2, OTHER_SOURCE.dim))
        assert answer["translator"]["id"] == f"{OTHER_SOURCE.id}--{OTHER_TARGET.id}"
