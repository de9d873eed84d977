"""What a search may ask for beside probes: subjects in place of faces, and faces of some tags and of some time."""

from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from contract.vectors import Features, pack_float32
from deploy.gateway import GatewayServer
from tests.integration.galleries import created_gallery, enrol, search
from tests.integration.stack import eager, random_features
from tests.repository import SOURCE, TARGET

FACES = 40
GALLERY = random_features(FACES, seed=3)  # in the source's space; enrolled as the target's encoder would see them
SIMILARITY_TOLERANCE = 1e-3
OCTET_STREAM = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def gallery(gateway: GatewayServer) -> Iterator[str]:
    """A gallery of native target features, two faces a subject."""
    with httpx.Client(base_url=gateway.url, timeout=60) as client, created_gallery(client, TARGET) as name:
        enrol(client, name, TARGET, eager(GALLERY))
        yield name


def brute_force(probes: Features) -> NDArray[np.float64]:
    """Cosines [N, FACES] of translated probes against the gallery, in float64."""
    return eager(probes).astype(np.float64) @ eager(GALLERY).astype(np.float64).T


def test_an_answer_says_with_how_many_faces_each_probe_was_compared(client: httpx.Client, gallery: str) -> None:
    body = {"source_model": SOURCE.id, "gallery": gallery, "features": GALLERY[:2].tolist()}
    assert client.post("/search", json=body).json()["searched"] == FACES


@pytest.mark.parametrize(("ranking", "fuse"), [("subjects-by-best", np.max), ("subjects-by-mean", np.mean)])
def test_subjects_are_ranked_by_their_best_face_or_the_mean_of_all(
    client: httpx.Client, gallery: str, ranking: str, fuse: Callable[..., NDArray[np.float64]]
) -> None:
    probes = random_features(10, seed=4)
    results = search(client, gallery, probes, top_k=7, ranking=ranking)
    for result, similarities in zip(results, brute_force(probes), strict=True):
        of_subjects = fuse(similarities.reshape(-1, 2), axis=1)
        found = [match["similarity"] for match in result["matches"]]
        assert found == pytest.approx(np.sort(of_subjects)[::-1][:7], abs=SIMILARITY_TOLERANCE)
        for match in result["matches"]:
            subject = int(match["subject"].removeprefix("subject-"))
            assert match["similarity"] == pytest.approx(of_subjects[subject], abs=SIMILARITY_TOLERANCE)
            best = 2 * subject + int(similarities[2 * subject :][:2].argmax())
            assert match["face_id"] == f"face-{best:03d}"


def test_only_faces_with_the_tags_and_of_the_time_are_searched(client: httpx.Client) -> None:
    faces = [
        {"face_id": "old", "subject": "a", "tags": ["staff", "vip"], "enrolled_at": "2020-01-01T00:00:00Z"},
        {"face_id": "new", "subject": "b", "tags": ["staff"], "enrolled_at": "2026-01-01T00:00:00+01:00"},
        {"face_id": "bare", "subject": "c", "enrolled_at": "2026-01-01T00:00:00Z"},
    ]
    with created_gallery(client, TARGET) as gallery:
        enrolment = {"source_model": SOURCE.id, "features": GALLERY[:3].tolist(), "faces": faces}
        client.post(f"/galleries/{gallery}/faces", json=enrolment).raise_for_status()

        def found(**where: object) -> tuple[set[str], int]:
            names = {"source_model": SOURCE.id, "gallery": gallery}
            in_json = client.post("/search", json=names | {"features": GALLERY[:1].tolist()} | where).json()
            query = {name: ",".join(value) if isinstance(value, list) else value for name, value in where.items()}
            octets = {"params": names | query, "content": pack_float32(GALLERY[:1]), "headers": OCTET_STREAM}
            binary = client.post("/search", **octets).json()
            assert binary == in_json
            return {match["face_id"] for match in in_json["results"][0]["matches"]}, in_json["searched"]

        assert found() == ({"old", "new", "bare"}, 3)
        assert found(tags=["staff"]) == ({"old", "new"}, 2)
        assert found(tags=["vip", "staff"]) == ({"old"}, 1)
        assert found(tags=["nobody"]) == (set(), 0)
        assert found(enrolled_from="2025-12-31T23:00:00Z") == ({"new", "bare"}, 2)
        assert found(enrolled_until="2025-12-31T23:00:00Z") == ({"old"}, 1)
        assert found(tags=["staff"], enrolled_from="2021-01-01T00:00:00Z") == ({"new"}, 1)
