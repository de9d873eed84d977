"""/galleries/{gallery}/approximation over HTTP, with the embedded store and with a real Redis."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from contract.vectors import pack_float32
from deploy.gateway import GatewayServer
from tests.integration.galleries import created_gallery, enrol
from tests.integration.stack import ROWS_MAX, random_features
from tests.repository import TARGET

FACES = 1000
REQUESTS_MAX = 20  # until it is built, on a busy machine
GALLERY = random_features(FACES, TARGET.dim, seed=3)


@pytest.fixture(scope="module")
def gallery(gateway: GatewayServer) -> Iterator[str]:
    """A gallery of just as many faces as an approximation needs."""
    with httpx.Client(base_url=gateway.url, timeout=60) as client, created_gallery(client, TARGET) as name:
        for start in range(0, FACES, ROWS_MAX):
            rows = GALLERY[start : start + ROWS_MAX]
            faces = [
                {"face_id": f"face-{start + row}", "subject": f"subject-{start + row}"} for row in range(len(rows))
            ]
            body = {"source_model": TARGET.id, "features": rows.tolist(), "faces": faces}
            client.post(f"/galleries/{name}/faces", json=body).raise_for_status()
        yield name


@pytest.fixture
def approximation(client: httpx.Client, gallery: str) -> Iterator[str]:
    """Where the gallery's approximation is built and measured; there is none before and after a test."""
    path = f"/galleries/{gallery}/approximation"
    yield path
    assert client.delete(path).status_code == 204


def build(client: httpx.Client, path: str) -> httpx.Response:
    """Ask until it is built. Each request waits by itself."""
    for _ in range(REQUESTS_MAX):
        if (response := client.put(path)).status_code != 503:
            break
    return response


def search(client: httpx.Client, gallery: str, **names: object) -> dict[str, Any]:
    body = {"source_model": TARGET.id, "gallery": gallery, "features": GALLERY[:3].tolist(), "top_k": 1} | names
    response = client.post("/search", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert [result["matches"][0]["face_id"] for result in answer["results"]] == ["face-0", "face-1", "face-2"]
    return answer


def test_it_is_built_measured_shown_used_and_removed(client: httpx.Client, gallery: str, approximation: str) -> None:
    assert client.get(f"/galleries/{gallery}").json()["approximation"] is None
    assert search(client, gallery)["exact"] is True
    built = build(client, approximation)
    assert built.status_code == 200, built.text
    measured = built.json()
    assert (measured["model"], measured["faces"], measured["probes"]) == (TARGET.id, FACES, FACES)
    assert 0.5 < measured["recall_at_10"] <= measured["recall_at_1"] + 0.2 <= 1.2
    assert abs((datetime.fromisoformat(measured["built_at"]) - datetime.now(UTC)).total_seconds()) < 600
    assert client.put(approximation, json={}).json() == measured
    assert client.get(f"/galleries/{gallery}").json()["approximation"] == measured
    assert search(client, gallery)["exact"] is False
    assert search(client, gallery, exact=True)["exact"] is True
    assert search(client, gallery, enrolled_from="2020-01-01T00:00:00Z")["exact"] is True
    assert search(client, gallery, ranking="subjects-by-mean")["exact"] is True
    for _ in range(2):
        assert client.delete(approximation).status_code == 204
        assert client.get(f"/galleries/{gallery}").json()["approximation"] is None
        assert search(client, gallery)["exact"] is True


def test_octets_ask_for_an_exact_search_in_the_query(client: httpx.Client, gallery: str, approximation: str) -> None:
    build(client, approximation).raise_for_status()
    for query, exact in (({}, False), ({"exact": "false"}, False), ({"exact": "true"}, True)):
        answer = client.post(
            "/search",
            params={"source_model": TARGET.id, "gallery": gallery} | query,
            content=pack_float32(GALLERY[:1]),
            headers={"content-type": "application/octet-stream"},
        )
        assert answer.json()["exact"] is exact


def test_duplicates_are_looked_for_exactly(client: httpx.Client, gallery: str, approximation: str) -> None:
    build(client, approximation).raise_for_status()
    faces = [{"face_id": f"again-{row}", "subject": f"again-{row}"} for row in range(20)]
    body = {"source_model": TARGET.id, "features": GALLERY[:20].tolist(), "faces": faces}
    body |= {"on_duplicate": "reject", "duplicate_min_similarity": 0.99}
    answer = client.post(f"/galleries/{gallery}/faces", json=body)
    assert (answer.status_code, answer.json()["row"]) == (409, 0)


@pytest.mark.parametrize("content", [b'{"neighbours": 64}', b"[]", b"null", b"{"])
def test_a_body_that_chooses_something_is_refused(client: httpx.Client, approximation: str, content: bytes) -> None:
    answer = client.put(approximation, content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


def test_too_few_faces_are_refused(client: httpx.Client) -> None:
    with created_gallery(client, TARGET) as small:
        enrol(client, small, TARGET, GALLERY[:3])
        answer = client.put(f"/galleries/{small}/approximation")
        assert (answer.status_code, answer.json()["code"]) == (409, "gallery-too-small")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_unknown_gallery_is_named_as_such(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/galleries/nowhere/approximation")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown-gallery")
