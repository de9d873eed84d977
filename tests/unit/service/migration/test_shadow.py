"""What is counted of two copies' answers, and what a migration reports of it."""

from datetime import timedelta

import pytest

from service.galleries.values import Match
from service.migration.record import State
from service.migration.report import progress_of, shadow_report
from service.migration.shadow import COUNTS, compare
from tests.unit.service.migration.migrations import BEGAN, NEW, OLD, gallery, migration


def matches(*found: tuple[str, float]) -> list[Match]:
    return [Match(face_id, f"subject-of-{face_id}", similarity) for face_id, similarity in found]


OLD_FOUND = [
    matches(("a", 0.9), ("b", 0.5)),
    matches(("a", 0.9), ("b", 0.5)),
    matches(("a", 0.9), ("b", 0.5)),
    matches(),
]
NEW_FOUND = [
    matches(("a", 0.8), ("b", 0.5)),  # agrees
    matches(("b", 0.8), ("a", 0.7)),  # finds it at another rank
    matches(("c", 0.3), ("d", 0.2)),  # does not find it
    matches(("a", 0.1)),  # found something where there was nothing
]


def test_agreement_rank_changes_and_shifts_are_counted() -> None:
    counts = compare(OLD_FOUND, NEW_FOUND)
    assert counts["searches"] == 1
    assert counts["probes"] == 4
    assert counts["compared"] == 3
    assert counts["top_1_agrees"] == 1
    assert counts["rank_changes"] == 1
    assert counts["top_k_found"] == 7
    assert counts["top_k_overlap"] == 4
    assert counts["similarity_shift_micro"] == -800_000


def test_the_report_gives_averages_and_none_where_nothing_was_compared() -> None:
    report = shadow_report(compare(OLD_FOUND, NEW_FOUND) | {"dropped": 2, "failed": 1})
    assert report.top_1_agreement == pytest.approx(1 / 3)
    assert report.rank_changes == pytest.approx(1 / 3)
    assert report.top_k_overlap == pytest.approx(4 / 7)
    assert report.similarity_shift == pytest.approx(-0.8 / 3)
    assert (report.dropped, report.failed) == (2, 1)
    nothing = shadow_report({})
    assert nothing.searches == 0
    assert nothing.top_1_agreement is None
    assert nothing.top_k_overlap is None
    assert nothing.similarity_shift is None


def test_no_face_or_subject_is_among_what_is_counted() -> None:
    counts = compare(OLD_FOUND, NEW_FOUND)
    assert set(counts) <= set(COUNTS)
    assert all(isinstance(count, int) for count in counts.values())


def test_progress_tells_what_is_missing_and_how_long_it_takes() -> None:
    info = gallery(100, (OLD, 100), (NEW, 40))
    progress = progress_of(migration(), info, BEGAN + timedelta(seconds=20))
    assert progress is not None
    assert (progress.faces, progress.filled, progress.missing) == (100, 40, 60)
    assert progress.faces_per_second == pytest.approx(2)
    assert progress.seconds_left == pytest.approx(30)


def test_progress_tells_what_the_serving_copy_lacks() -> None:
    ready = progress_of(migration(state=State.READY), gallery(100, (OLD, 97), (NEW, 100)))
    assert ready is not None
    assert (ready.missing, ready.unserved) == (0, 3)


def test_progress_has_no_rate_before_the_first_face_nor_after_the_last() -> None:
    begun = progress_of(migration(), gallery(100, (OLD, 100), (NEW, 0)), BEGAN + timedelta(seconds=20))
    assert begun is not None
    assert begun.seconds_left is None
    ready = progress_of(migration(state=State.READY), gallery(100, (OLD, 100), (NEW, 100)))
    assert ready is not None
    assert ready.faces_per_second is None


def test_without_a_second_copy_there_is_no_progress() -> None:
    assert progress_of(migration(), gallery(100, (OLD, 100))) is None
