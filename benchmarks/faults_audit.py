"""What a store holds after all that was done to it, read through its searches, and what of it is wrong."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.faults_writer import Ledger
from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.galleries.base import GalleryStore
from service.galleries.values import Original

PAGE_FACES = 1000
SPARE_MATCHES = 100  # asked for beyond the faces there are, so that a face that lies there twice shows


@dataclass(frozen=True, slots=True)
class Rows:
    """One copy: each face's feature [d], and how many faces an answer named more than once."""

    features: Mapping[str, Features]
    repeated: int


@dataclass(frozen=True, slots=True)
class Held:
    """All originals by face_id, how often one was listed again, and the copies in both spaces."""

    originals: Mapping[str, Original]
    repeated: int
    source: Rows
    target: Rows


@dataclass(frozen=True, slots=True)
class Audit:
    """Faces that are not as acknowledged."""

    lost: int  # of an acknowledged enrolment: missing, or with another feature
    duplicated: int
    resurrected: int  # of an acknowledged deletion: in a record or a copy


async def read_held(store: GalleryStore, gallery: str, source: FeatureSpace, target: FeatureSpace) -> Held:
    """Everything a gallery holds."""
    originals: dict[str, Original] = {}
    repeated, after = 0, None
    while page := await store.originals(gallery, after, PAGE_FACES):
        repeated += sum(original.face.face_id in originals for original in page)
        originals |= {original.face.face_id: original for original in page}
        after = page[-1].face.face_id
    faces = len(originals)
    return Held(
        originals=originals,
        repeated=repeated,
        source=await read_rows(store, gallery, source, faces),
        target=await read_rows(store, gallery, target, faces),
    )


async def read_rows(store: GalleryStore, gallery: str, space: FeatureSpace, faces: int) -> Rows:
    """The features of a copy, a component a probe: the cosine with a unit vector along an axis is that component."""
    axes = np.eye(space.dim, dtype=np.float32)
    found = await store.search(gallery, space, axes, faces + SPARE_MATCHES)
    features: dict[str, Features] = {}
    for axis, matches in enumerate(found.matches):
        for match in matches:
            features.setdefault(match.face_id, np.zeros(space.dim, np.float32))[axis] = match.similarity
    named = Counter(match.face_id for match in found.matches[0])
    return Rows(features, repeated=sum(count > 1 for count in named.values()))


def audit(held: Held, ledger: Ledger, tolerance: float) -> Audit:
    """Compare what is held with what was acknowledged; features may differ by `tolerance` a component."""
    lost = set(ledger.missed)
    for face_id, feature in ledger.present.items():
        kept = held.source.features.get(face_id)
        is_everywhere = face_id in held.originals and face_id in held.target.features
        if kept is None or not is_everywhere or not np.allclose(kept, feature, rtol=0, atol=tolerance):
            lost.add(face_id)
    anywhere = held.originals.keys() | held.source.features.keys() | held.target.features.keys()
    return Audit(
        lost=len(lost),
        duplicated=held.repeated + held.source.repeated + held.target.repeated,
        resurrected=len(ledger.deleted & anywhere),
    )


def differing(rows: Rows, others: Rows, tolerance: float) -> int:
    """How many faces are in one copy alone, or have other features in both."""
    alone = rows.features.keys() ^ others.features.keys()
    return len(alone) + sum(
        not np.allclose(rows.features[face_id], others.features[face_id], rtol=0, atol=tolerance)
        for face_id in _common(rows.features, others.features)
    )


def _common(one: Mapping[str, Features], other: Mapping[str, Features]) -> Iterable[str]:
    return one.keys() & other.keys()
