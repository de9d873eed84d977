"""Galleries over HTTP: what the tests of /galleries and /search do all the time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx

from contract.spaces import FeatureSpace
from contract.vectors import Features
from tests.repository import SOURCE


@contextmanager
def created_gallery(client: httpx.Client, space: FeatureSpace) -> Iterator[str]:
    """A gallery of a name of its own, deleted afterwards."""
    gallery = f"gallery-{uuid4().hex[:12]}"
    assert client.put(f"/galleries/{gallery}", json={"model": space.id}).status_code == 201
    yield gallery
    assert client.delete(f"/galleries/{gallery}").status_code == 204


def face_ids(rows: int) -> list[str]:
    """Ids of so many faces."""
    return [f"face-{row:03d}" for row in range(rows)]


def subjects(rows: int) -> list[str]:
    """Ids of as many subjects, two faces each."""
    return [f"subject-{row // 2:03d}" for row in range(rows)]


def enrolment(space: FeatureSpace, features: Features, /, **changes: object) -> dict[str, Any]:
    """A body for POST /galleries/{gallery}/faces."""
    rows = len(features)
    faces = [
        {"face_id": face, "subject": subject} for face, subject in zip(face_ids(rows), subjects(rows), strict=True)
    ]
    return {"source_model": space.id, "features": features.tolist(), "faces": faces} | changes


def enrol(client: httpx.Client, gallery: str, space: FeatureSpace, features: Features) -> dict[str, Any]:
    """Enrol features as `face_ids` of `subjects`; returns the answer."""
    response = client.post(f"/galleries/{gallery}/faces", json=enrolment(space, features))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def search(client: httpx.Client, gallery: str, features: Features, **names: object) -> list[dict[str, Any]]:
    """Search with probes of SOURCE, or as `names` say; returns the results."""
    body = {"source_model": SOURCE.id, "gallery": gallery, "features": features.tolist()} | names
    response = client.post("/search", json=body)
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results
