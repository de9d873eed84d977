"""A gallery `staff` of native faces, and a second copy of it as a translator would fill it."""

import numpy as np

from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.galleries.base import GalleryStore
from service.galleries.values import Claim, Face, Rendition
from tests.integration.gallery_stores import OTHER_SPACE, SPACE, faces_of, unit_features

THIRD_SPACE = FeatureSpace(id="third-8", dim=8)
TRANSLATOR = "space-16--other-16@3"
LONG_MS = 3_600_000


def translated(features: Features, space: FeatureSpace = OTHER_SPACE) -> Rendition:
    """What a translator into `space` might answer."""
    rendition = np.ascontiguousarray(features[:, ::-1][:, : space.dim])
    rendition /= np.linalg.norm(rendition, axis=1, keepdims=True)
    confidence = np.linspace(0.5, 1.0, len(features), dtype=np.float32)
    return Rendition(space, rendition, TRANSLATOR, confidence)


async def enrolled(store: GalleryStore, rows: int, faces_per_subject: int = 1) -> tuple[list[Face], Features]:
    """Make the gallery `staff` in SPACE with so many native faces."""
    faces, features = faces_of(rows, faces_per_subject), unit_features(rows)
    await store.create("staff", SPACE)
    await store.upsert("staff", faces, Rendition(SPACE, features))
    return faces, features


async def translate(store: GalleryStore, claim: Claim, space: FeatureSpace = OTHER_SPACE) -> int:
    """Fill a claim as a worker does."""
    features = np.stack([original.feature for original in claim.originals])
    return await store.fill("staff", claim, [translated(features, space)])


async def complete(store: GalleryStore, limit: int = 100, lease_ms: int = LONG_MS) -> int:
    """Fill all of a copy that is missing; returns how many faces were written."""
    written = 0
    while claim := await store.claim("staff", OTHER_SPACE, limit, lease_ms):
        written += await translate(store, claim)
    return written


def ids(claim: Claim | None) -> list[str]:
    """The faces of a claim."""
    return [] if claim is None else [original.face.face_id for original in claim.originals]


async def copies(store: GalleryStore) -> dict[str, int]:
    """How many faces each copy of `staff` holds."""
    return {copy.space.id: copy.faces for copy in (await store.info("staff")).copies}
