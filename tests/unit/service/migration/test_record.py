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
    (State.BACKFILLING, BOTH, State.BACKFILLING),
    (State.BACKFILLING, FULL, State.READY),
    (State.BACKFILLING, gallery(0, (OLD, 0), (NEW, 0)), State.READY),
    (State.BACKFILLING, CUT_OVER, State.SERVING),
    (State.BACKFILLING, ONLY_OLD, State.CANCELLED),
    (State.READY, BOTH, State.BACKFILLING),
    (State.READY, FULL, State.READY),
    (State.READY, CUT_OVER, State.SERVING),
    (State.READY, ONLY_OLD, State.CANCELLED),
    (State.SERVING, CUT_OVER, State.SERVING),
    (State.SERVING, FULL, State.READY),
    (State.SERVING, ONLY_NEW, State.COMPLETED),
    (State.FAILED, BOTH, State.FAILED),
    (State.FAILED, FULL, State.FAILED),
    (State.FAILED, ONLY_OLD, State.CANCELLED),
]
UNDER_WAY = [State.BACKFILLING, State.READY, State.SERVING, State.FAILED]


@pytest.mark.parametrize(("state", "info", "expected"), SHOWN)
def test_the_copies_say_where_a_migration_is(state: State, info: GalleryInfo, expected: State) -> None:
    assert settled(migration(state=state), info) == migration(state=expected)


@pytest.mark.parametrize("info", [BOTH, FULL])
def test_a_migration_has_begun_once_its_copy_is_there(info: GalleryInfo) -> None:
    beginning = migration(state=State.BEGINNING, target_copy=None)
    assert settled(beginning, ONLY_OLD) == beginning
    assert settled(beginning, gallery(9, (OLD, 9), (THIRD, 4))) == beginning
    assert settled(beginning, info) == migration(state=State.BACKFILLING, target_copy=NEW.id)


@pytest.mark.parametrize("state", UNDER_WAY)
@pytest.mark.parametrize("info", [None, gallery(9, (THIRD, 9))])
def test_with_its_gallery_a_migration_ends(state: State, info: GalleryInfo | None) -> None:
    under_way, beginning = migration(state=state), migration(state=State.BEGINNING, target_copy=None)
    for one in (under_way, beginning):
        assert settled(one, info) == one.at(State.CANCELLED, GALLERY_DELETED)


@pytest.mark.parametrize("state", UNDER_WAY)
@pytest.mark.parametrize("info", [ONLY_OLD, ONLY_NEW, FULL, CUT_OVER])
def test_another_gallery_of_the_name_is_not_the_migrations(state: State, info: GalleryInfo) -> None:
    of_another = migration(state=state, source_copy="gone", target_copy="gone-too")
    ended = settled(of_another, info)
    assert (ended.state, ended.reason) == (State.CANCELLED, GALLERY_DELETED)


def test_a_failure_keeps_its_reason_until_it_is_resumed() -> None:
    failed = migration(state=State.FAILED, reason="no-route")
    assert settled(failed, BOTH) == failed
    assert settled(failed, ONLY_OLD) == failed.at(State.CANCELLED, "no-route")


def test_a_record_is_the_same_after_it_was_kept() -> None:
    kept = migration(7, state=State.FAILED, reason="no-route")
    assert type(kept).model_validate_json(kept.model_dump_json()) == kept
