"""From pairs to people: trained, exported, served by a real Triton, found by the gateway in a real Redis."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from contract.vectors import Features
from deploy.gateway import GatewayServer
from deploy.redis.start import RedisServer
from deploy.triton.start import TritonServer
from tests.pipeline.conftest import SOURCE, TARGET, Bakeoff
from training.fit import load, load_for
from training.proof import Stage, first_hits, set_stage
from training.split import split_identities

PROBES = 32


@pytest.fixture(scope="module")
def stage(bakeoff: Bakeoff, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The identities that nobody trained on."""
    pairs = load_for(bakeoff.pairs, SOURCE, TARGET, [], tmp_path_factory.mktemp("cache"))
    return set_stage(pairs, split_identities(pairs), SOURCE, TARGET)


@pytest.fixture(scope="module", params=["affine", "r3an"])
def served(
    request: pytest.FixtureRequest, bakeoff: Bakeoff, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, httpx.Client]]:
    """A method's own repository behind Triton, Redis and the gateway."""
    repository = bakeoff.out / "candidates" / request.param
    with RedisServer() as redis, TritonServer(repository) as triton:
        settings = {
            "R3AN_ENVIRONMENT": "development",
            "R3AN_MODEL_REPOSITORY": str(repository),
            "R3AN_ENGINE": "triton",
            "R3AN_TRITON_URL": triton.grpc_address,
            "R3AN_GALLERY_STORE": "redis",
            "R3AN_REDIS_URL": redis.url,
        }
        with GatewayServer(settings) as gateway, httpx.Client(base_url=gateway.url, timeout=60) as client:
            yield request.param, client


def test_what_triton_serves_is_what_was_trained(
    served: tuple[str, httpx.Client], bakeoff: Bakeoff, stage: Stage
) -> None:
    method, client = served
    probes = stage.raw_probes[:PROBES]
    body = {"source_model": SOURCE, "target_model": TARGET, "features": probes.tolist()}
    answer = client.post("/translate", json=body).raise_for_status().json()
    translator, _ = load(bakeoff.out / "runs" / method)
    with torch.inference_mode():
        eager = translator(torch.from_numpy(probes)).numpy()
    np.testing.assert_allclose(np.asarray(answer["features"], np.float32), eager, atol=1e-4)


def test_a_probe_of_one_encoder_finds_its_owner_in_the_others_gallery(
    served: tuple[str, httpx.Client], stage: Stage
) -> None:
    method, client = served
    client.put("/galleries/people", json={"model": TARGET}).raise_for_status()
    faces = [{"face_id": f"f{row}", "subject": f"s{who}"} for row, who in enumerate(stage.gallery_identities)]
    body = {"source_model": TARGET, "faces": faces, "features": stage.target_gallery[:].tolist()}
    client.post("/galleries/people/faces", json=body).raise_for_status()
    found = _rank_1(client, stage.raw_probes, stage.probe_identities)
    offline = _offline_rank_1(client, stage)
    assert found == pytest.approx(offline, abs=0.03), "Redis keeps half precision; near ties may fall either way"
    if method == "affine":
        assert found > 0.8, "two linear eyes on one latent face are joined by a linear map"


def _rank_1(client: httpx.Client, probes: Features, identities: np.ndarray) -> float:  # type: ignore[type-arg]  # ids
    body = {"source_model": SOURCE, "gallery": "people", "features": probes.tolist(), "top_k": 1}
    results = client.post("/search", json=body).raise_for_status().json()["results"]
    hits = [result["matches"][0]["subject"] == f"s{who}" for result, who in zip(results, identities, strict=True)]
    return float(np.mean(hits))


def _offline_rank_1(client: httpx.Client, stage: Stage) -> float:
    body = {"source_model": SOURCE, "target_model": TARGET, "features": stage.raw_probes.tolist()}
    answer = client.post("/translate", json=body).raise_for_status().json()
    return float(first_hits(stage.compare(np.asarray(answer["features"], np.float32))).mean())


def test_the_promoted_version_is_the_winners(bakeoff: Bakeoff) -> None:
    promoted = Path(bakeoff.printed["promoted"])
    assert promoted.is_relative_to(bakeoff.out / "model_repository")
    assert f'"method": "{bakeoff.printed["winner"]}"' in (promoted / "manifest.json").read_text()
