"""POST /translate: encodings, headers and confidence; and a gateway over a real Triton and a real Redis."""

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from contract.confidence import ConfidenceModel
from contract.spaces import FeatureSpace
from contract.vectors import Features, encode_float32, l2_normalize, pack_float32, unpack_float32
from deploy.process import wait_until
from deploy.redis.start import RedisServer
from deploy.triton.start import TritonServer
from service.settings import EngineKind, StoreKind
from tests.gateway import development_settings, running_gateway
from tests.integration.stack import eager, random_features
from tests.manifests import make_manifest, publish
from tests.repository import SOURCE, TARGET

A, B, C = (FeatureSpace(id=name, dim=dim) for name, dim in (("a", 4), ("b", 3), ("c", 2)))
FEATURES: Features = np.array([[3, 4, 0, 9], [0, 0, 1, 1]], dtype=np.float32)
EXPECTED = l2_normalize(FEATURES[:, : B.dim])  # what the echo engine makes of them
OCTETS = {"content-type": "application/octet-stream"}


def confidence_of(space: FeatureSpace) -> ConfidenceModel:
    return ConfidenceModel(
        dim=space.dim,
        mean=encode_float32(np.zeros(space.dim, dtype=np.float32)),
        components=encode_float32(np.eye(space.dim, dtype=np.float32)[:1]),
        variances=encode_float32(np.ones(1, dtype=np.float32)),
        residual_variance=0.1,
        distances=encode_float32(np.array([2.0, 9.5], dtype=np.float32)),
    )


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A gateway with routes a → b (which scores confidence), b → a and b → c."""
    directory = tmp_path_factory.mktemp("gateway")
    publish(directory / "model_repository", make_manifest(A, B, version=7, confidence=confidence_of(A)))
    publish(directory / "model_repository", make_manifest(B, A))
    publish(directory / "model_repository", make_manifest(B, C))
    with running_gateway(development_settings(directory)) as client:
        yield client


def test_float_lists_come_back_with_translator_and_confidence(client: httpx.Client) -> None:
    answer = client.post("/translate", json={"source_model": "a", "features": FEATURES.tolist()})
    body = answer.json()
    assert (body["target_model"], body["translator"]["id"], body["translator"]["version"]) == ("b", "a--b", 7)
    assert len(body["translator"]["sha256"]) == 64
    np.testing.assert_allclose(body["features"], EXPECTED, rtol=1e-6)
    np.testing.assert_allclose(body["confidence"], confidence_of(A).score(FEATURES), rtol=1e-6)


def test_base64_comes_back_as_base64(client: httpx.Client) -> None:
    packed = [base64.b64encode(pack_float32(row)).decode() for row in FEATURES]
    answer = client.post("/translate", json={"source_model": "a", "features": packed, "encoding_format": "base64"})
    translated = [unpack_float32(base64.b64decode(row), B.dim)[0] for row in answer.json()["features"]]
    np.testing.assert_allclose(translated, EXPECTED, rtol=1e-6)


def test_octet_stream_comes_back_as_octet_stream_with_its_facts_in_headers(client: httpx.Client) -> None:
    answer = client.post("/translate?source_model=a&target_model=b", content=pack_float32(FEATURES), headers=OCTETS)
    assert answer.headers["content-type"] == "application/octet-stream"
    np.testing.assert_allclose(unpack_float32(answer.content, B.dim), EXPECTED, rtol=1e-6)
    facts = {name: answer.headers[f"x-r3an-{name}"] for name in ("target-model", "translator", "translator-version")}
    assert facts == {"target-model": "b", "translator": "a--b", "translator-version": "7"}
    scores = [float(score) for score in answer.headers["x-r3an-confidence"].split(",")]
    np.testing.assert_allclose(scores, confidence_of(A).score(FEATURES), atol=1e-4)


def test_confidence_that_would_not_fit_a_header_is_left_out(client: httpx.Client) -> None:
    many = np.tile(FEATURES[:1], (513, 1))
    answer = client.post("/translate?source_model=a", content=pack_float32(many), headers=OCTETS)
    assert len(answer.content) == 513 * B.dim * 4
    assert "x-r3an-confidence" not in answer.headers


def test_a_translator_without_a_model_of_confidence_says_null(client: httpx.Client) -> None:
    body = {"source_model": "b", "target_model": "c", "features": [[1.0, 2.0, 3.0]]}
    assert client.post("/translate", json=body).json()["confidence"] is None


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"source_model": "b", "features": [[1.0] * 3]}, 400, "malformed"),
        ({"source_model": "c", "features": [[1.0] * 2]}, 404, "no-route"),
        ({"source_model": "a", "target_model": "c", "features": [[1.0] * 4]}, 404, "no-route"),
        ({"source_model": "a", "target_model": "a", "features": [[1.0] * 4]}, 400, "malformed"),
        ({"source_model": "x", "features": [[1.0] * 4]}, 404, "unknown-model"),
    ],
)
def test_a_route_that_cannot_be_chosen_is_told_apart(
    client: httpx.Client, changes: dict[str, object], status: int, code: str
) -> None:
    answer = client.post("/translate", json=changes)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_catalogue_is_shown_without_the_arrays_of_confidence(client: httpx.Client) -> None:
    models = client.get("/models").json()
    assert [model["id"] for model in models["models"]] == ["a", "b", "c"]
    assert [(r["source_model"], r["target_model"], r["version"]) for r in models["routes"]] == [
        ("a", "b", 7),
        ("b", "a", 1),
        ("b", "c", 1),
    ]
    cards = {card["id"]: card for card in client.get("/translators").json()["translators"]}
    assert {id: card["scores_confidence"] for id, card in cards.items()} == {"a--b": True, "b--a": False, "b--c": False}
    assert "confidence" not in cards["a--b"]


def test_a_gateway_over_triton_and_redis_translates_and_searches(
    triton_server: TritonServer, redis_server: RedisServer, translators: Path, tmp_path: Path
) -> None:
    settings = development_settings(
        tmp_path,
        model_repository=translators,
        engine=EngineKind.TRITON,
        triton_url=triton_server.grpc_address,
        gallery_store=StoreKind.REDIS,
        redis_url=redis_server.url,
    )
    gallery, features = "gateway-over-servers", random_features(3)
    probes = {"source_model": SOURCE.id, "features": features.tolist()}
    faces = [{"face_id": f"f{i}", "subject": f"s{i}"} for i in range(3)]
    with running_gateway(settings) as client:
        wait_until(lambda: client.get("/health/ready").status_code == 200, 60, "readiness")
        translated = client.post("/translate", json=probes).json()["features"]
        np.testing.assert_allclose(translated, eager(features), atol=1e-4)
        assert client.put(f"/galleries/{gallery}", json={"model": TARGET.id}).status_code == 201
        enrolled = {"source_model": TARGET.id, "features": translated, "faces": faces}
        assert client.post(f"/galleries/{gallery}/faces", json=enrolled).json()["new"] == 3
        found = client.post("/search", json=probes | {"gallery": gallery, "top_k": 1}).json()["results"]
        assert [result["matches"][0]["subject"] for result in found] == ["s0", "s1", "s2"]
        assert client.delete(f"/galleries/{gallery}").status_code == 204
