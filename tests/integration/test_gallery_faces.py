"""Faces over HTTP, with the embedded store and with a real Redis: enrolled, replaced, compared, refused."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import numpy as np
import orjson
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


def face(face_id: str, subject: str = "somebody", **said: object) -> dict[str, object]:
    return {"face_id": face_id, "subject": subject} | said


def faces_with(**said: object) -> dict[str, Any]:
    """Four faces, the third of which says this too."""
    return body(faces=[face("a"), face("b"), face("c", **said), face("d")])


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
    "too many tags": Bad(faces_with(tags=[f"tag-{i}" for i in range(17)]), 400, "malformed", 2),
    "a tag beyond the grammar": Bad(faces_with(tags=["VIP"]), 400, "malformed", 2),
    "tags that are no list": Bad(faces_with(tags={"vip": 1}), 400, "malformed", 2),
    "an instant without offset": Bad(faces_with(enrolled_at="2026-01-31T12:00:00"), 400, "malformed", 2),
    "an instant before 1970": Bad(faces_with(enrolled_at="1969-12-31T23:59:59Z"), 400, "malformed", 2),
    "an instant as a number": Bad(faces_with(enrolled_at=1_769_860_800), 400, "malformed", 2),
    "metadata beyond its bytes": Bad(faces_with(metadata={"note": "x" * 1014}), 400, "malformed", 2),
    "metadata that are no object": Bad(faces_with(metadata=["vip"]), 400, "malformed", 2),
    "metadata nested too deeply": Bad(
        {
            "content": orjson.dumps(faces_with(metadata={"a": 0})["json"]).replace(
                b'{"a":0}', b'{"a":' + b"[" * 400 + b"]" * 400 + b"}"
            )
        },
        400,
        "malformed",
        2,
    ),
    "subject metadata that is no object": Bad(faces_with(subject_metadata=None), 400, "malformed", 2),
    "too much subject metadata": Bad(faces_with(subject_metadata={"a": "x" * 4096}), 400, "malformed", 2),
    "an unknown answer to duplicates": Bad(body(on_duplicate="merge"), 400, "malformed"),
    "duplicates without a threshold": Bad(body(on_duplicate="report"), 400, "malformed"),
    "duplicates with two thresholds": Bad(
        body(on_duplicate="report", duplicate_min_similarity=0.5, duplicate_max_fmr=0.01), 400, "malformed"
    ),
    "a threshold of no duplicates": Bad(body(duplicate_min_similarity=0.5), 400, "malformed"),
    "a rate of duplicates outside the calibration": Bad(
        body(on_duplicate="report", duplicate_max_fmr=1e-9), 422, "uncalibrated"
    ),
    "a duplicate": Bad(
        body(
            features=[*np.eye(3, TARGET.dim).tolist(), np.eye(1, TARGET.dim)[0].tolist()],
            on_duplicate="reject",
            duplicate_min_similarity=0.99,
        ),
        409,
        "duplicate-face",
        3,
    ),
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


def enrolled(rows: int, replaced: int = 0, translator: dict[str, object] | None = None) -> dict[str, object]:
    answer = {"enrolled": rows, "new": rows - replaced, "replaced_rows": [*range(replaced)]}
    return answer | {"translator": translator, "duplicates": []}


def test_native_faces_are_enrolled_and_replaced(client: httpx.Client, gallery: str) -> None:
    features = random_features(6, TARGET.dim)
    assert enrol(client, gallery, TARGET, features[:4]) == enrolled(4)
    assert enrol(client, gallery, TARGET, features) == enrolled(6, replaced=4)
    description = client.get(f"/galleries/{gallery}").json()
    assert (description["faces"], description["subjects"], description["origins"]) == (6, 3, {TARGET.id: 6})
    stored = client.get(f"/galleries/{gallery}/faces/face-003").json()
    assert abs(datetime.fromisoformat(stored.pop("enrolled_at")) - datetime.now(UTC)) < timedelta(minutes=10)
    assert stored == {
        "face_id": "face-003",
        "subject": "subject-001",
        "tags": [],
        "metadata": {},
        "origin": TARGET.id,
        "held": [{"model": TARGET.id, "derived_from": None, "translator": None, "confidence": None}],
    }


def test_what_is_said_of_a_face_is_kept_with_it(client: httpx.Client, gallery: str) -> None:
    said = {"tags": ["vip", "2026", "vip"], "metadata": {"note": "x" * 990, "é": [1.5, None]}}
    faces = [face("a", **said, enrolled_at="2026-01-31T13:00:00.5+01:00")]
    client.post(f"/galleries/{gallery}/faces", **body(faces=faces, features=[[1.0] * TARGET.dim])).raise_for_status()
    stored = client.get(f"/galleries/{gallery}/faces/a").json()
    assert stored["tags"] == ["2026", "vip"]
    assert stored["metadata"] == said["metadata"]
    assert stored["enrolled_at"] == "2026-01-31T12:00:00.500Z"


def test_what_is_said_of_a_subject_with_its_face_is_kept_with_the_subject(client: httpx.Client, gallery: str) -> None:
    said = {"note": "x" * 4000, "é": [1.5, None]}
    for faces in ([face("a", subject="ada", subject_metadata=said)], [face("b", subject="ada")]):
        request = body(faces=faces, features=[[1.0] * TARGET.dim])
        client.post(f"/galleries/{gallery}/faces", **request).raise_for_status()
    assert client.get(f"/galleries/{gallery}/subjects/ada").json()["metadata"] == said
    originals = client.get(f"/galleries/{gallery}/originals").json()["faces"]
    assert [original["subject_metadata"] for original in originals] == [said] * 2


def test_faces_of_a_source_space_are_translated_on_the_way_in_and_marked(client: httpx.Client, gallery: str) -> None:
    features = random_features(4)
    answer = enrol(client, gallery, SOURCE, features)
    assert answer == enrolled(4, translator={"id": TRANSLATOR, "version": 1})
    stored = client.get(f"/galleries/{gallery}/faces/face-000").json()
    [held] = stored["held"]
    assert stored["origin"] == SOURCE.id
    assert held == {
        "model": TARGET.id,
        "derived_from": SOURCE.id,
        "translator": f"{TRANSLATOR}@1",
        "confidence": None,
    }
    assert client.get(f"/galleries/{gallery}").json()["origins"] == {SOURCE.id: 4}
    probe = {"source_model": TARGET.id, "gallery": gallery, "features": eager(features[2:3]).tolist(), "top_k": 1}
    [[match]] = [result["matches"] for result in client.post("/search", json=probe).json()["results"]]
    assert match["face_id"] == "face-002"
    assert match["similarity"] == pytest.approx(1.0, abs=1e-3)


def test_a_face_enrolled_again_with_a_native_feature_is_no_longer_derived(client: httpx.Client, gallery: str) -> None:
    enrol(client, gallery, SOURCE, random_features(1))
    enrol(client, gallery, TARGET, random_features(1, TARGET.dim))
    stored = client.get(f"/galleries/{gallery}/faces/face-000").json()
    assert (stored["origin"], stored["held"][0]["derived_from"]) == (TARGET.id, None)


def test_a_face_like_one_of_another_subject_is_reported_or_rejected(client: httpx.Client, gallery: str) -> None:
    features = random_features(3)
    enrol(client, gallery, SOURCE, features)
    same = enrolment(SOURCE, features[2:], faces=[face("again", "somebody-else")], duplicate_max_fmr=1e-6)
    rejected = client.post(f"/galleries/{gallery}/faces", json=same | {"on_duplicate": "reject"})
    problem = rejected.json()
    assert (rejected.status_code, problem["code"], problem["row"]) == (409, "duplicate-face", 0)
    assert "face-002" not in rejected.text
    assert client.get(f"/galleries/{gallery}").json()["faces"] == 3
    reported = client.post(f"/galleries/{gallery}/faces", json=same | {"on_duplicate": "report"}).json()
    [duplicate] = reported["duplicates"]
    assert duplicate.pop("similarity") == pytest.approx(1.0, abs=1e-3)
    assert duplicate == {"row": 0, "face_id": "face-002", "subject": "subject-001"}
    assert client.get(f"/galleries/{gallery}").json()["faces"] == 4


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
