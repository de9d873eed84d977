"""What is told of a migration under way: how far it is, and how the two copies' answers differ."""

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from service.galleries.values import GalleryInfo
from service.migration.record import Migration, State
from service.migration.shadow import MICRO


class Progress(BaseModel):
    """Faces of the gallery, and of the copy that does not serve: the new one, or after the cut-over the old one.

    `unserved` faces are missing in the copy that serves, after a rollback that allowed for it.
    """

    model_config = ConfigDict(extra="forbid")

    faces: int
    filled: int
    missing: int
    unserved: int
    faces_per_second: float | None  # since the migration began; null once it no longer backfills
    seconds_left: float | None  # at that rate


class ShadowReport(BaseModel):
    """Live searches that both copies answered. Averages are over `compared` probes: those for which both found a face.

    `rank_changes` is the share whose first face of the old copy stands at another rank in the new one;
    `similarity_shift` the first face's, new less old; `top_k_overlap` the share of faces that both found.
    """

    model_config = ConfigDict(extra="forbid")

    searches: int
    probes: int
    compared: int
    top_1_agreement: float | None
    top_k_overlap: float | None
    rank_changes: float | None
    similarity_shift: float | None
    dropped: int
    failed: int


def progress_of(migration: Migration, info: GalleryInfo, now: datetime | None = None) -> Progress | None:
    """Progress of a migration by its gallery; None where there is no second copy."""
    if len(info.copies) == 1:
        return None
    filled = min(info.copies[1].faces, info.faces)
    missing, rate = info.faces - filled, None
    if migration.state is State.BACKFILLING:
        elapsed_s = ((now or datetime.now(UTC)) - migration.created_at).total_seconds()
        rate = filled / elapsed_s if elapsed_s > 0 else None
    return Progress(
        faces=info.faces,
        filled=filled,
        missing=missing,
        unserved=max(0, info.faces - info.copies[0].faces),
        faces_per_second=rate,
        seconds_left=missing / rate if rate else None,
    )


def shadow_report(counts: Mapping[str, int]) -> ShadowReport:
    """Averages of what the shadow has counted."""
    compared = counts.get("compared", 0)

    def average(name: str, of: int) -> float | None:
        return counts.get(name, 0) / of if of else None

    shift = average("similarity_shift_micro", compared)
    return ShadowReport(
        searches=counts.get("searches", 0),
        probes=counts.get("probes", 0),
        compared=compared,
        top_1_agreement=average("top_1_agrees", compared),
        top_k_overlap=average("top_k_overlap", counts.get("top_k_found", 0)),
        rank_changes=average("rank_changes", compared),
        similarity_shift=None if shift is None else shift / MICRO,
        dropped=counts.get("dropped", 0),
        failed=counts.get("failed", 0),
    )
