"""What is kept of a migration, and how far the gallery itself says that it has come."""

from datetime import datetime
from enum import StrEnum
from typing import Final

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
    """What the translator's manifest says of identification: translated faces beside native ones of both spaces."""

    probes: int
    distractors: int
    translated: Identification
    source_native: Identification | None
    target_native: Identification


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
    faces_per_second: float | None  # None: no face had to be translated
    seconds: float | None  # of the engine alone, at that rate


class Migration(_Facts):
    """A gallery on its way from one feature space to another. `reason` says why it failed or ended by itself."""

    id: Name
    gallery: Name
    source: FeatureSpace
    target: FeatureSpace
    state: State
    reason: str | None = None
    created_at: datetime
    changed_at: datetime
    plan: Plan

    @property
    def is_finished(self) -> bool:
        """Whether nothing can be done with it any more."""
        return self.state in {State.COMPLETED, State.CANCELLED}


def settled(migration: Migration, info: GalleryInfo | None) -> tuple[State, str | None]:
    """State and reason as the gallery's copies show them; None: the gallery is gone.

    The store changes copies in one step each, and a record follows: whoever dies between the two leaves a record that
    this sets right.
    """
    if info is None:
        return State.CANCELLED, GALLERY_DELETED
    if migration.state is State.BEGINNING:
        return _begun(migration, info), None
    faces = {copy.space: copy.faces for copy in info.copies}
    if not {migration.source, migration.target} <= faces.keys():
        return (State.COMPLETED if migration.target in faces else State.CANCELLED), migration.reason
    if info.space == migration.target:
        return State.SERVING, None
    if migration.state is State.FAILED:
        return State.FAILED, migration.reason
    return (State.READY if faces[migration.target] >= info.faces else State.BACKFILLING), None


def _begun(migration: Migration, info: GalleryInfo) -> State:
    if info.space != migration.source:  # another gallery of this name
        return State.CANCELLED
    has_copy = any(copy.space == migration.target for copy in info.copies)
    return State.BACKFILLING if has_copy else State.BEGINNING
