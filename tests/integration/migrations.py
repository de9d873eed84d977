"""What the tests of migrations do all the time: three encoders, galleries that move between them, and waiting."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from contract.spaces import FeatureSpace
from contract.vectors import Features
from deploy.process import wait_until
from service.settings import EngineKind, StoreKind
from tests.gateway import development_settings, running_gateway
from tests.integration.galleries import face_ids, subjects
from tests.integration.stack import random_features
from tests.repository import RandomLinear, write_translator

FIRST = FeatureSpace(id="first-24", dim=24)
SECOND = FeatureSpace(id="second-16", dim=16)
THIRD = FeatureSpace(id="third-20", dim=20)
ALONE = FeatureSpace(id="alone-8", dim=8)  # leads to THIRD only
SEEDS = {(FIRST, SECOND): 1, (SECOND, FIRST): 2, (SECOND, THIRD): 3, (FIRST, THIRD): 4, (ALONE, THIRD): 5}
DEADLINE_S = 120
ROUNDING = 1e-3  # of half precision in Redis

Answer = dict[str, Any]


def write_encoders(repository: Path) -> Path:
    """Translators between the three; none leads from THIRD."""
    for (source, target), seed in SEEDS.items():
        write_translator(repository, source, target, seed=seed)
    return repository


def translated(features: Features, source: FeatureSpace, target: FeatureSpace) -> Features:
    """What torch itself makes of features [N, ds]: [N, dt]."""
    import torch  # noqa: PLC0415 - many who use this file have no need of it

    module = RandomLinear(source.dim, target.dim, SEEDS[source, target])
    with torch.inference_mode():
        answer: Features = module(torch.from_numpy(features)).numpy()
    return answer


def enrolled(client: httpx.Client, gallery: str, space: FeatureSpace, faces: int, seed: int = 0) -> Features:
    """Create a gallery of so many faces; returns their raw features."""
    assert client.put(f"/galleries/{gallery}", json={"model": space.id}).status_code in {200, 201}
    features = random_features(faces, space.dim, seed)
    enrol_as(client, gallery, space, face_ids(faces), subjects(faces), features)
    return features


def enrol_as(
    client: httpx.Client, gallery: str, space: FeatureSpace, ids: list[str], whose: list[str], features: Features
) -> None:
    """Enrol or replace these faces."""
    faces = [{"face_id": face_id, "subject": subject} for face_id, subject in zip(ids, whose, strict=True)]
    body = {"source_model": space.id, "features": features.tolist(), "faces": faces}
    response = client.post(f"/galleries/{gallery}/faces", json=body)
    assert response.status_code == 200, response.text


def begin(client: httpx.Client, gallery: str, target: FeatureSpace) -> str:
    """Begin a migration; returns its id."""
    response = client.post(f"/galleries/{gallery}/migrations", json={"target_model": target.id})
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def look(client: httpx.Client, migration: str) -> Answer:
    """The migration as it is now."""
    response = client.get(f"/migrations/{migration}")
    assert response.status_code == 200, response.text
    answer: Answer = response.json()
    return answer


def wait_for(client: httpx.Client, migration: str, state: str) -> Answer:
    """The migration once it is in a state."""
    wait_until(lambda: look(client, migration)["state"] == state, DEADLINE_S, f"the migration to be {state}")
    return look(client, migration)


def act(client: httpx.Client, migration: str, what: str) -> Answer:
    """Cut over, roll back and so on."""
    response = client.post(f"/migrations/{migration}/{what}")
    assert response.status_code == 200, response.text
    answer: Answer = response.json()
    return answer


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem."""
    return response.status_code, response.json()["code"]


def served(client: httpx.Client, gallery: str, space: FeatureSpace, faces: int) -> dict[str, Features]:
    """The features [d] that serve searches, by face: a native probe along each axis tells one number of each."""
    body = {
        "source_model": space.id,
        "gallery": gallery,
        "features": np.eye(space.dim, dtype=np.float32).tolist(),
        "top_k": faces,
    }
    response = client.post("/search", json=body)
    assert response.status_code == 200, response.text
    rows: dict[str, Features] = {}
    for axis, result in enumerate(response.json()["results"]):
        for match in result["matches"]:
            rows.setdefault(match["face_id"], np.zeros(space.dim, dtype=np.float32))[axis] = match["similarity"]
    return rows


def assert_serves(client: httpx.Client, gallery: str, space: FeatureSpace, expected: Features) -> None:
    """That the gallery serves exactly these features [N, d] as `face_ids`."""
    rows = served(client, gallery, space, len(expected))
    assert sorted(rows) == face_ids(len(expected))
    np.testing.assert_allclose(np.stack([rows[face] for face in face_ids(len(expected))]), expected, atol=ROUNDING)


@contextmanager
def migrating_gateway(folder: Path, redis_url: str | None) -> Iterator[httpx.Client]:
    """A gateway with small claims whose shadow repeats every search; on Redis if there is a URL, else embedded."""
    write_encoders(folder / "model_repository")
    settings = development_settings(
        folder,
        engine=EngineKind.ONNXRUNTIME,
        top_k_max=1000,
        migration_batch_faces=32,
        migration_poll_s=0.05,
        shadow_share=1.0,
        **({} if redis_url is None else {"gallery_store": StoreKind.REDIS, "redis_url": redis_url}),
    )
    with running_gateway(settings) as client:
        yield client


def copies(client: httpx.Client, gallery: str) -> list[str]:
    """The spaces of a gallery's copies, the serving one first."""
    return [copy["model"] for copy in client.get(f"/galleries/{gallery}").json()["copies"]]
