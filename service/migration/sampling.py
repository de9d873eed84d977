"""A sample of what a migration has to translate: of each origin, and from all over the gallery."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from contract.spaces import FeatureSpace
from contract.vectors import l2_normalize
from service.galleries.base import GalleryStore
from service.galleries.values import GalleryInfo, Original

SAMPLE_FACES_MAX: Final = 512  # of all origins together, in equal parts
READ_FACES_MAX: Final = 2048  # of which the sample is chosen; a gallery of no more is read whole
PAGE_FACES: Final = 512
# Of a larger one a few faces are read at each of many places. A store counts off no faces by id, but it finds some for
# probes that are like nobody, wherever their ids are.
PLACES_MAX: Final = 64
PLACE_FACES: Final = READ_FACES_MAX // PLACES_MAX
PROBES: Final = 4
SEED: Final = 0


async def sample(store: GalleryStore, gallery: GalleryInfo, target: FeatureSpace) -> dict[str, list[Original]]:
    """At most SAMPLE_FACES_MAX faces that are not in the target's space, by origin; none of an origin too rare to meet.

    Raises:
        UnknownGalleryError, GallerySpaceMismatchError: it is gone, or its copy, since it was described.
    """
    met = await _look_over(store, gallery)
    by_origin: dict[str, list[Original]] = defaultdict(list)
    for _, original in sorted(met.items()):
        if original.space != target:
            by_origin[original.space.id].append(original)
    part = max(1, SAMPLE_FACES_MAX // max(1, len(by_origin)))
    chosen = {origin: faces[:: -(-len(faces) // part)] for origin, faces in by_origin.items()}
    return dict(list(chosen.items())[:SAMPLE_FACES_MAX])


async def _look_over(store: GalleryStore, gallery: GalleryInfo) -> dict[str, Original]:
    if gallery.faces <= READ_FACES_MAX:
        return await _first(store, gallery.name)
    probes = np.random.default_rng(SEED).standard_normal((PROBES, gallery.space.dim), dtype=np.float32)
    found = await store.search(gallery.name, gallery.space, l2_normalize(probes), PLACES_MAX // PROBES, exact=False)
    places = sorted({match.face_id for matches in found.matches for match in matches})
    met: dict[str, Original] = {}
    for place in places:
        met |= _by_id(await store.originals(gallery.name, place, PLACE_FACES))
    return met


async def _first(store: GalleryStore, gallery: str) -> dict[str, Original]:
    met: dict[str, Original] = {}
    for _ in range(READ_FACES_MAX // PAGE_FACES):
        met |= _by_id(await store.originals(gallery, max(met, default=None), PAGE_FACES))
    return met


def _by_id(originals: Sequence[Original]) -> dict[str, Original]:
    return {original.face.face_id: original for original in originals}
