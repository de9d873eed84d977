"""What is kept of a migration, and how far the gallery itself says that it has come."""

from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field

from contract.manifest import Identification, Method
from contract.spaces import FeatureSpace, Name
from service.galleries.values import GalleryInfo

GALLERY_DELETED: Final = "gallery-deleted"


class State(StrEnum):
    """Where a migration is. `beginning`: its copy may not be there yet; `serving`: it is cut over."""

    BEGINNING = "beginning"
    BACKFILLING = "backfilling"
    READY = "ready"
    SERVING = "serving"
    FAILED = "failed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LowConfidence(_Facts):
    """The share of sampled faces whose confidence is below the threshold, with its 95 % Wilson interval."""

    threshold: float
    sampled: int
    share: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class Expected(_Facts):
    """What the translator's manifest says of searches for faces that it translates, and of native ones beside them.

    `similarity_at_fmr`: by false-match rate, such as `1e-3`, the similarity that impostors exceed so often. What an
    older manifest does not say is null.
    """

    probes: int
    distractors: int
    native_probes: Identification | None  # of the new encoder, for translated faces
    native_probes_similarity_at_fmr: dict[str, float] | None
    translated_probes: Identification | None  # of the old encoder, for translated faces
    translated_probes_similarity_at_fmr: dict[str, float] | None
    translated_probes_native_faces: Identification  # of the old encoder, for faces that are enrolled natively
    source_native: Identification | None  # the old encoder by itself
    target_native: Identification  # the new encoder by itself


class OriginPlan(_Facts):
    """The faces that were enrolled in one space and what translates them; without a translator they are native."""

    model: Name
    faces: int
    translator: str | None = None  # id@version
    method: Method | None = None
    expected: Expected | None = None  # None: native, or nobody has judged the translator
    low_confidence: LowConfidence | None = None  # None: native, not sampled, or the translator models none


class Plan(_Facts):
    """What a migration is expected to need and to bring."""

    origins: tuple[OriginPlan, ...]
    faces_to_translate: int
    faces_native: int
    bytes_needed: int
    sampled: int  # faces translated to measure, at most 512
    faces_per_second: float | None  # None: no face that has to be translated was met
    seconds: float | None  # of the engine alone, at that rate


class Migration(_Facts):
    """A gallery on its way from one feature space to another. `reason` says why it failed or ended by itself.

    The keys of its copies tell them from any later ones; that of the new copy is known once it has begun.
    """

    id: Name
    gallery: Name
    source: FeatureSpace
    source_copy: str
    target: FeatureSpace
    target_copy: str | None = None
    state: State
    reason: str | None = None
    created_at: datetime
    changed_at: datetime
    plan: Plan

    @property
    def is_finished(self) -> bool:
        """Whether nothing can be done with it any more."""
        return self.state in {State.COMPLETED, State.CANCELLED}

    def begun(self, target_copy: str) -> Self:
        """The migration once its new copy is there."""
        return self.model_copy(update={"state": State.BACKFILLING, "target_copy": target_copy})

    def at(self, state: State, reason: str | None = None) -> Self:
        """The migration in another state."""
        return self.model_copy(update={"state": state, "reason": reason})


def settled(migration: Migration, info: GalleryInfo | None) -> Migration:
    """The migration as its gallery's copies show it; None: the gallery is gone.

    The store changes copies in one step each, and a record follows: whoever dies between the two leaves a record that
    this sets right.
    """
    keys = set[str | None]() if info is None else {copy.key for copy in info.copies}
    if info is None or keys.isdisjoint({migration.source_copy, migration.target_copy}):
        return migration.at(State.CANCELLED, GALLERY_DELETED)  # there may be another one of its name
    if migration.state is State.BEGINNING:
        return _begun(migration, info)
    target = next((copy for copy in info.copies if copy.key == migration.target_copy), None)
    if target is None or migration.source_copy not in keys:
        return migration.at(State.CANCELLED, migration.reason) if target is None else migration.at(State.COMPLETED)
    if info.copies[0] is target:
        return migration.at(State.SERVING)
    if migration.state is State.FAILED:
        return migration
    return migration.at(State.READY if target.faces >= info.faces else State.BACKFILLING)


def _begun(migration: Migration, info: GalleryInfo) -> Migration:
    copy = next((copy for copy in info.copies if copy.space == migration.target), None)
    return migration if copy is None else migration.begun(copy.key)
