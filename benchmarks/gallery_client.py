"""Galleries and searches over HTTP, as the measurements ask for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from contract.spaces import FeatureSpace
from contract.vectors import Features, encode_float32

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """The face that an answer puts first."""

    face_id: str
    subject: str
    similarity: float


def open_client(url: str, timeout_s: float = TIMEOUT_S) -> httpx.Client:
    """A client of a gateway."""
    return httpx.Client(base_url=url, timeout=timeout_s)


def create_gallery(client: httpx.Client, gallery: str, space: FeatureSpace) -> None:
    """Create a gallery. Raises httpx.HTTPError."""
    client.put(f"/galleries/{gallery}", json={"model": space.id}).raise_for_status()


def enrol(
    client: httpx.Client,
    gallery: str,
    space: FeatureSpace,
    face_ids: Sequence[str],
    subjects: Sequence[str],
    features: Features,
) -> None:
    """Enrol or replace faces [N] with features [N, d] of `space`. Raises httpx.HTTPError."""
    faces = [{"face_id": face, "subject": subject} for face, subject in zip(face_ids, subjects, strict=True)]
    body = features_body(space, features) | {"faces": faces}
    client.post(f"/galleries/{gallery}/faces", json=body).raise_for_status()


def search(
    client: httpx.Client, gallery: str, space: FeatureSpace, probes: Features, top_k: int = 1
) -> list[list[Found]]:
    """What is found for each probe [N, d] of `space`, most similar first. Raises httpx.HTTPError."""
    body = features_body(space, probes) | {"gallery": gallery, "top_k": top_k}
    answer = client.post("/search", json=body).raise_for_status().json()
    return [
        [Found(match["face_id"], match["subject"], match["similarity"]) for match in result["matches"]]
        for result in answer["results"]
    ]


def features_body(space: FeatureSpace, features: Features) -> dict[str, Any]:
    """The part of a request's body that says what features it brings."""
    encoded = [encode_float32(feature) for feature in features]
    return {"source_model": space.id, "features": encoded, "encoding_format": "base64"}
