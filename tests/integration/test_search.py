"""POST /search with the embedded engine and store, and with real Triton and Redis: the same answers and problems."""

import base64
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from contract.calibration import FMR_LEVELS
from contract.vectors import Features, l2_normalize, pack_float32
from deploy.gateway import GatewayServer
from tests.integration.galleries import created_gallery, enrol, search, subjects
from tests.integration.stack import BODY_BYTES_MAX, OTHER_TARGET, ROWS_MAX, eager, random_features
from tests.repository import SOURCE, TARGET

FACES = 40
GALLERY = random_features(FACES, seed=3)  # in the source's space; enrolled as the target's encoder would see them
SIMILARITY_TOLERANCE = 1e-3
OCTET_STREAM = {"content-type": "application/octet-stream"}


class Bad(NamedTuple):
    """A change to a good request that must be refused, and how."""

    changes: dict[str, Any]
    status: int
    code: str
    row: int | None = None


@pytest.fixture(scope="module")
def gallery(gateway: GatewayServer) -> Iterator[str]:
    """A gallery of native target features, two faces a subject."""
    with httpx.Client(base_url=gateway.url, timeout=60) as client, created_gallery(client, TARGET) as name:
        enrol(client, name, TARGET, eager(GALLERY))
        yield name


def brute_force(probes: Features) -> NDArray[np.float64]:
    """Cosines [N, FACES] of translated probes against the gallery, in float64."""
    return eager(probes).astype(np.float64) @ eager(GALLERY).astype(np.float64).T


def test_a_probe_of_the_source_space_finds_its_subject_in_the_target_gallery(
    client: httpx.Client, gallery: str
) -> None:
    results = search(client, gallery, GALLERY[:8], top_k=1)
    assert [result["matches"][0]["face_id"] for result in results] == [f"face-{row:03d}" for row in range(8)]
    assert [result["matches"][0]["subject"] for result in results] == subjects(8)
    assert all(result["matches"][0]["similarity"] > 1 - SIMILARITY_TOLERANCE for result in results)


@pytest.mark.parametrize("native", [False, True], ids=["translated", "native"])
def test_matches_are_those_of_a_full_scan_most_similar_first(client: httpx.Client, gallery: str, native: bool) -> None:
    probes = random_features(10, seed=4)
    names = {"source_model": TARGET.id} if native else {}
    sent = 3 * eager(probes) if native else probes  # a native probe need not have unit length
    results = search(client, gallery, sent, top_k=7, **names)
    for result, similarities in zip(results, brute_force(probes), strict=True):
        expected = np.sort(similarities)[::-1][:7]
        found = [match["similarity"] for match in result["matches"]]
        assert found == pytest.approx(expected, abs=SIMILARITY_TOLERANCE)
        own = [similarities[int(match["face_id"].removeprefix("face-"))] for match in result["matches"]]
        assert found == pytest.approx(own, abs=SIMILARITY_TOLERANCE)
        assert result["confidence"] is None


def test_five_faces_are_found_where_nobody_says_how_many(client: httpx.Client, gallery: str) -> None:
    assert len(search(client, gallery, GALLERY[:1])[0]["matches"]) == 5


def test_all_three_encodings_find_the_same(client: httpx.Client, gallery: str) -> None:
    probes = random_features(3, seed=5)
    names = {"source_model": SOURCE.id, "gallery": gallery, "top_k": 2}
    encoded = [base64.b64encode(pack_float32(row)).decode() for row in probes]
    answers = [
        client.post("/search", json=names | {"features": probes.tolist()}),
        client.post("/search", json=names | {"features": encoded, "encoding_format": "base64"}),
        client.post("/search", params=names, content=pack_float32(probes), headers=OCTET_STREAM),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    found = [[[m["face_id"] for m in result["matches"]] for result in answer.json()["results"]] for answer in answers]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("source_model", [SOURCE.id, TARGET.id])
def test_a_similarity_comes_with_its_false_match_rate(client: httpx.Client, gallery: str, source_model: str) -> None:
    probes = GALLERY[:4] if source_model == SOURCE.id else eager(GALLERY[:4])
    for result in search(client, gallery, probes, source_model=source_model, top_k=40):
        for match in result["matches"]:
            # The test's translators are calibrated at fmr 1e-1 … 1e-6 = similarity 0.3 … 0.8, log-linear between.
            decades = np.clip(10 * match["similarity"] - 2, 0, len(FMR_LEVELS))
            expected = 10.0**-decades if decades >= 1 else 1
            assert match["fmr"] == pytest.approx(expected, rel=1e-6)
            assert match["fpir"] == pytest.approx(1 - (1 - expected) ** FACES, rel=1e-6)


@pytest.mark.parametrize("source_model", [SOURCE.id, TARGET.id])
def test_among_translated_faces_a_similarity_comes_with_the_rate_that_was_measured_there(
    client: httpx.Client, source_model: str
) -> None:
    probes = GALLERY[:4] if source_model == SOURCE.id else eager(GALLERY[:4])
    with created_gallery(client, TARGET) as translated:
        enrol(client, translated, SOURCE, GALLERY)
        for result in search(client, translated, probes, source_model=source_model, top_k=1, max_fmr=1e-6):
            assert [match["fmr"] for match in result["matches"]] == [pytest.approx(1e-6)]


def test_max_fmr_and_min_similarity_leave_out_the_same_faces(client: httpx.Client, gallery: str) -> None:
    probes = random_features(10, seed=4)
    everything = search(client, gallery, probes, top_k=40)
    by_rate = search(client, gallery, probes, top_k=40, max_fmr=1e-2)
    by_similarity = search(client, gallery, probes, top_k=40, min_similarity=0.4)
    expected = [[m for m in result["matches"] if m["similarity"] >= 0.4] for result in everything]
    assert 0 < sum(map(len, expected)) < 400
    assert [result["matches"] for result in by_similarity] == expected
    assert [result["matches"] for result in by_rate] == expected


def test_a_rate_over_the_whole_gallery_leaves_out_more_than_one_of_a_comparison(
    client: httpx.Client, gallery: str
) -> None:
    probes = random_features(10, seed=4)
    everything = search(client, gallery, probes, top_k=40)
    by_gallery = search(client, gallery, probes, top_k=40, max_fpir=0.05)
    expected = [[m for m in result["matches"] if m["fpir"] <= 0.05] for result in everything]
    assert [result["matches"] for result in by_gallery] == expected
    by_comparison = search(client, gallery, probes, top_k=40, max_fmr=0.05)
    assert 0 < sum(map(len, expected)) < sum(len(result["matches"]) for result in by_comparison)


def test_an_uncalibrated_space_gives_no_rate_and_honours_none(client: httpx.Client) -> None:
    with created_gallery(client, SOURCE) as gallery:
        enrol(client, gallery, SOURCE, GALLERY)
        [best, *_] = search(client, gallery, GALLERY[:1])[0]["matches"]
        assert (best["fmr"], best["fpir"]) == (None, None)
        body = {"source_model": SOURCE.id, "gallery": gallery, "features": GALLERY[:1].tolist()}
        for rate in ("max_fmr", "max_fpir"):
            response = client.post("/search", json=body | {rate: 0.01})
            assert (response.status_code, response.json()["code"]) == (422, "uncalibrated")


BAD = {
    "unknown gallery": Bad({"gallery": "nowhere"}, 404, "unknown-gallery"),
    "unknown source model": Bad({"source_model": "nobody"}, 404, "unknown-model"),
    "no route": Bad({"source_model": OTHER_TARGET.id}, 404, "no-route"),
    "wrong dimension": Bad({"features": [[1.0] * (SOURCE.dim + 1)]}, 422, "wrong-dimension", 0),
    "wrong native dimension": Bad(
        {"source_model": TARGET.id, "features": [[1.0] * SOURCE.dim]}, 422, "wrong-dimension", 0
    ),
    "zero vector": Bad({"features": [[1.0] * SOURCE.dim, [0.0] * SOURCE.dim]}, 422, "zero-vector", 1),
    "native zero vector": Bad(
        {"source_model": TARGET.id, "features": [[1.0] * TARGET.dim, [0.0] * TARGET.dim]}, 422, "zero-vector", 1
    ),
    "infinity": Bad({"features": [[1e39] * SOURCE.dim]}, 422, "not-finite", 0),
    "a row that is no list": Bad({"features": [[1.0] * SOURCE.dim, 7]}, 400, "malformed", 1),
    "no features": Bad({"features": []}, 400, "malformed"),
    "top_k of zero": Bad({"top_k": 0}, 400, "malformed"),
    "top_k beyond the bound": Bad({"top_k": 101}, 400, "malformed"),
    "both thresholds": Bad({"min_similarity": 0.5, "max_fmr": 0.01}, 400, "malformed"),
    "a similarity beyond one": Bad({"min_similarity": 1.5}, 400, "malformed"),
    "a rate that is none": Bad({"max_fmr": 0}, 400, "malformed"),
    "a rate outside the calibration": Bad({"max_fmr": 1e-9}, 422, "uncalibrated"),
    "two rates": Bad({"max_fpir": 0.01, "max_fmr": 0.01}, 400, "malformed"),
    "a rate of one": Bad({"max_fpir": 1}, 400, "malformed"),
    "a rate over the gallery outside the calibration": Bad({"max_fpir": 1e-5}, 422, "uncalibrated"),
    "an unknown ranking": Bad({"ranking": "subjects"}, 400, "malformed"),
    "too many tags": Bad({"tags": [f"tag-{i}" for i in range(17)]}, 400, "malformed"),
    "a tag beyond the grammar": Bad({"tags": ["VIP"]}, 400, "malformed"),
    "an instant that is none": Bad({"enrolled_from": "yesterday"}, 400, "malformed"),
    "a gallery beyond the grammar": Bad({"gallery": "Staff"}, 400, "malformed"),
    "an unknown field": Bad({"colour": "red"}, 400, "malformed"),
    "too many rows": Bad({"features": [[1.0] * SOURCE.dim] * (ROWS_MAX + 1)}, 413, "too-large"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_a_bad_search_is_refused_with_its_row(client: httpx.Client, gallery: str, case: Bad) -> None:
    body = {"source_model": SOURCE.id, "gallery": gallery, "features": GALLERY[:2].tolist()} | case.changes
    response = client.post("/search", json=body)
    problem = response.json()
    assert (response.status_code, problem["code"], problem.get("row")) == (case.status, case.code, case.row)


def test_a_bad_octet_stream_is_refused(client: httpx.Client, gallery: str) -> None:
    names = {"source_model": SOURCE.id, "gallery": gallery}

    def refusal(content: bytes, **more: str) -> tuple[int, str, int | None]:
        response = client.post("/search", params=names | more, content=content, headers=OCTET_STREAM)
        return response.status_code, response.json()["code"], response.json().get("row")

    assert refusal(pack_float32(GALLERY[:2])[:-4]) == (422, "wrong-dimension", 1)
    assert refusal(b"") == (400, "malformed", None)
    assert refusal(pack_float32(GALLERY[:1]), top_k="many") == (400, "malformed", None)
    assert refusal(pack_float32(GALLERY[:1]), min_similarity="nan") == (400, "malformed", None)
    assert refusal(b"\0" * (BODY_BYTES_MAX + 1)) == (413, "too-large", None)


def test_server_timing_and_metrics_tell_inference_and_gallery_apart(client: httpx.Client, gallery: str) -> None:
    body = {"source_model": SOURCE.id, "gallery": gallery, "features": GALLERY[:1].tolist()}
    translated = client.post("/search", json=body).headers["server-timing"]
    native = client.post(
        "/search", json=body | {"source_model": TARGET.id, "features": l2_normalize(eager(GALLERY[:1])).tolist()}
    ).headers["server-timing"]
    assert all(f"{phase};dur=" in translated for phase in ("queue", "inference", "gallery"))
    assert "gallery;dur=" in native
    assert "inference" not in native
    metrics = client.get("/metrics").text
    assert f'r3an_gallery_search_duration_seconds_count{{gallery="{gallery}"' in metrics
    assert f'r3an_gallery_enrolled_faces_total{{gallery="{gallery}"' in metrics
    assert "subject-000" not in metrics
    assert "face-000" not in metrics
