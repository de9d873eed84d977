"""What is said of galleries: faces, their features in each feature space, copies, searches and matches."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contract.spaces import FeatureSpace
from contract.vectors import Features

NO_METADATA: Final = "{}"

Confidence = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Face:
    """One enrolled face of a subject, without its features.

    `tags` are sorted and each stands once; `enrolled_at_ms` counts from 1970 in UTC; `metadata` is what the caller
    keeps with the face, as JSON text. `subject_metadata` is what is to be kept with its subject from then on, None to
    leave that as it is; of what a store tells, originals alone have it, where there is some.
    """

    face_id: str
    subject: str
    tags: tuple[str, ...] = ()
    enrolled_at_ms: int = 0
    metadata: str = NO_METADATA
    subject_metadata: str | None = None


@dataclass(frozen=True, slots=True)
class Rendition:
    """Unit-length features [N, d] of N faces in one space; of translated ones what made them and how far to trust each.

    `translator` is its id@version, None for native features; `confidence` [N] in (0, 1], None where it is not modelled.
    """

    space: FeatureSpace
    features: Features
    translator: str | None = None
    confidence: Confidence | None = None


@dataclass(frozen=True, slots=True)
class Original:
    """A face as it was enrolled: its one native feature [d], from which alone it is ever translated.

    `revision` is new with every enrolment of the face.
    """

    face: Face
    space: FeatureSpace
    feature: Features
    revision: int


@dataclass(frozen=True, slots=True)
class HeldRendition:
    """That a face has a feature in a space, and where it came from, without the feature."""

    space: str
    translator: str | None
    confidence: float | None


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """All a store tells of one face. `origin`: the space of its native feature."""

    face: Face
    origin: str
    held: tuple[HeldRendition, ...]  # one for each copy the face is in, by space


@dataclass(frozen=True, slots=True)
class SubjectRecord:
    """A subject, the ids of its faces in order, and what the caller keeps with it, as JSON text."""

    subject: str
    face_ids: tuple[str, ...]
    metadata: str


@dataclass(frozen=True, slots=True)
class Approximation:
    """How much an approximate search of a copy finds, measured against the exact one when it was built.

    `recall_at_k`: of the k faces most similar to each of `probes` faces of the copy's own, itself left out, the share
    that was found. `built_at_ms` counts from 1970 in UTC; `faces` are those the copy held then.
    """

    built_at_ms: int
    faces: int
    probes: int
    recall_at_1: float
    recall_at_10: float


@dataclass(frozen=True, slots=True)
class Copy:
    """A gallery's faces in one feature space, and how many of them it holds; its approximate search, if it has one.

    `translators`: how many of the faces each translator made, by its id@version; the others are native.
    `key` is another one for every copy that is ever begun, in this gallery or any other.
    """

    space: FeatureSpace
    faces: int
    approximation: Approximation | None = None
    translators: Mapping[str, int] = field(default_factory=dict, hash=False)
    key: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class GalleryInfo:
    """A gallery: how much it holds, and its one or two copies; `space` is the one that serves searches.

    `incarnation` is another one for every gallery that is ever created, of the same name or in another store.
    """

    name: str
    space: FeatureSpace
    faces: int
    subjects: int
    copies: tuple[Copy, ...]  # the serving one first
    incarnation: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Listing:
    """The galleries of a store, by name; of the `unreachable` ones nothing but the name is known now."""

    galleries: list[GalleryInfo]
    unreachable: list[str] = field(default_factory=list)


class Ranking(StrEnum):
    """What is ranked: faces, or subjects by the similarity of their best face or the mean over their faces."""

    FACES = "faces"
    SUBJECTS_BY_BEST = "subjects-by-best"
    SUBJECTS_BY_MEAN = "subjects-by-mean"


@dataclass(frozen=True, slots=True)
class Where:
    """Which faces are searched: those with all of `tags`, enrolled in [from_ms, until_ms)."""

    tags: tuple[str, ...] = ()
    from_ms: int | None = None
    until_ms: int | None = None


EVERYWHERE = Where()


def may_approximate(ranking: Ranking, where: Where) -> bool:
    """Whether a search may be approximate: a filter may pass few candidates, a mean needs all faces of a subject."""
    return where == EVERYWHERE and ranking is not Ranking.SUBJECTS_BY_MEAN


@dataclass(frozen=True, slots=True)
class Match:
    """A gallery face found for a probe, with its cosine similarity in [-1, 1].

    Where subjects are ranked, `face_id` is the subject's most similar face and `similarity` the subject's.
    """

    face_id: str
    subject: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Found:
    """The matches of each probe among `searched` faces; `exact` if it was compared with every one of them."""

    matches: list[list[Match]]
    searched: int
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """Faces that one worker translates into a copy until its lease ends; then another may."""

    token: str
    originals: tuple[Original, ...]
