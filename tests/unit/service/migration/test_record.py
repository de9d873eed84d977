"""A record follows what the gallery's copies show."""

import pytest

from service.galleries.values import GalleryInfo
from service.migration.record import GALLERY_DELETED, State, settled
from tests.unit.service.migration.migrations import NEW, OLD, THIRD, gallery, migration

BOTH = gallery(9, (OLD, 9), (NEW, 4))
FULL = gallery(9, (OLD, 9), (NEW, 9))
CUT_OVER = gallery(9, (NEW, 9), (OLD, 9))
ONLY_OLD = gallery(9, (OLD, 9))
ONLY_NEW = gallery(9, (NEW, 9))
SHOWN = [
    (State.BEGINNING, ONLY_OLD, State.BEGINNING),
    (State.BEGINNING, BOTH, State.BACKFILLING),
    (State.BEGINNING, FULL, State.BACKFILLING),
    (State.BEGINNING, gallery(9, (THIRD, 9)), State.CANCELLED),
    (State.BACKFILLING, BOTH, State.BACKFILLING),
    (State.BACKFILLING, FULL, State.READY),
    (State.BACKFILLING, gallery(0, (OLD, 0), (NEW, 0)), State.READY),
    (State.BACKFILLING, CUT_OVER, State.SERVING),
    (State.BACKFILLING, ONLY_OLD, State.CANCELLED),
    (State.READY, BOTH, State.BACKFILLING),
    (State.READY, FULL, State.READY),
    (State.READY, CUT_OVER, State.SERVING),
    (State.READY, ONLY_OLD, State.CANCELLED),
    (State.READY, gallery(9, (THIRD, 9)), State.CANCELLED),
    (State.SERVING, CUT_OVER, State.SERVING),
    (State.SERVING, FULL, State.READY),
    (State.SERVING, ONLY_NEW, State.COMPLETED),
    (State.FAILED, BOTH, State.FAILED),
    (State.FAILED, FULL, State.FAILED),
    (State.FAILED, ONLY_OLD, State.CANCELLED),
]


@pytest.mark.parametrize(("state", "info", "expected"), SHOWN)
def test_the_copies_say_where_a_migration_is(state: State, info: GalleryInfo, expected: State) -> None:
    assert settled(migration(state=state), info) == (expected, None)


@pytest.mark.parametrize("state", [State.BEGINNING, State.BACKFILLING, State.READY, State.SERVING, State.FAILED])
def test_with_its_gallery_a_migration_ends(state: State) -> None:
    assert settled(migration(state=state), None) == (State.CANCELLED, GALLERY_DELETED)


def test_a_failure_keeps_its_reason_until_it_is_resumed() -> None:
    failed = migration(state=State.FAILED, reason="no-route")
    assert settled(failed, BOTH) == (State.FAILED, "no-route")
    assert settled(failed, ONLY_OLD) == (State.CANCELLED, "no-route")


def test_a_record_is_the_same_after_it_was_kept() -> None:
    kept = migration(7, state=State.FAILED, reason="no-route")
    assert type(kept).model_validate_json(kept.model_dump_json()) == kept
