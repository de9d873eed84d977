"""Migrations and galleries for tests that need no store."""

from datetime import UTC, datetime, timedelta

from contract.spaces import FeatureSpace
from service.galleries.values import Copy, GalleryInfo
from service.migration.record import Migration, Plan, State

OLD = FeatureSpace(id="old-8", dim=8)
NEW = FeatureSpace(id="new-4", dim=4)
THIRD = FeatureSpace(id="third-6", dim=6)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = Plan(
    origins=(), faces_to_translate=0, faces_native=0, bytes_needed=0, sampled=0, faces_per_second=None, seconds=None
)


def migration(number: int = 0, **changes: object) -> Migration:
    """One from OLD to NEW, begun `number` seconds after the first."""
    when = BEGAN + timedelta(seconds=number)
    facts: dict[str, object] = {
        "id": f"m{number}",
        "gallery": f"gallery-{number}",
        "source": OLD,
        "source_copy": OLD.id,
        "target": NEW,
        "target_copy": NEW.id,
        "state": State.BACKFILLING,
        "created_at": when,
        "changed_at": when,
        "plan": PLAN,
    }
    return Migration.model_validate(facts | changes)


def gallery(faces: int, *copies: tuple[FeatureSpace, int]) -> GalleryInfo:
    """A gallery with these copies, the serving one first; their spaces are their keys."""
    held = tuple(Copy(space, number, key=space.id) for space, number in copies)
    return GalleryInfo("gallery-0", copies[0][0], faces, faces, held)
