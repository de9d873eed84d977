"""Routes of a plan, what it expects, and the interval around the share of faces with low confidence."""

from math import sqrt

import pytest

from contract.manifest import Identification, Interval, Quality
from service.catalog import Catalog
from service.errors import NoRouteError
from service.migration.plan import WILSON_Z, expected_of, routes, wilson
from tests.manifests import make_manifest
from tests.unit.service.migration.migrations import NEW, OLD, THIRD
from tests.unit.service.world import calibration


def test_every_origin_needs_a_route_but_natives_need_none() -> None:
    catalog = Catalog.of([make_manifest(OLD, NEW)])
    assert set(routes(catalog, {OLD.id: 3, NEW.id: 2}, NEW)) == {OLD.id}
    assert routes(catalog, {}, NEW) == {}
    with pytest.raises(NoRouteError, match=r"no translator to 'new-4' from 'gone' \(7 faces\), 'third-6' \(5 faces\)"):
        routes(catalog, {OLD.id: 3, THIRD.id: 5, "gone": 7}, NEW)


def test_a_message_names_no_more_than_a_few_spaces() -> None:
    with pytest.raises(NoRouteError) as refusal:
        routes(Catalog.of([make_manifest(OLD, NEW)]), {f"space-{i}": 1 for i in range(100)}, NEW)
    assert len(refusal.value.detail) < 500


def judged(rank_1: float) -> Identification:
    rate = Interval(value=rank_1, low=rank_1, high=rank_1)
    return Identification(rank_1=rate, tar_at_far={"1e-3": rate}, fnir_at_fpir={})


def quality(**more: object) -> Quality:
    facts = {"probes": 5, "gallery_subjects": 4, "distractors": 1, "source_native": judged(0.95), "baselines": {}}
    return Quality.model_validate(facts | {"translated": judged(0.8), "target_native": judged(0.99)} | more)


def test_what_is_expected_of_a_move_is_what_was_measured_in_a_translated_gallery() -> None:
    manifest = make_manifest(
        OLD,
        NEW,
        quality=quality(gallery_direction=judged(0.7), both_translated=judged(0.9)),
        native_to_translated=calibration(0.4),
        translated_to_translated=calibration(0.8),
    )
    expected = expected_of(manifest)
    assert expected is not None
    assert (expected.native_probes, expected.translated_probes) == (judged(0.7), judged(0.9))
    assert expected.translated_probes_native_faces == judged(0.8)
    assert expected.native_probes_similarity_at_fmr == {"1e-1": 0.0, "1e-2": pytest.approx(0.2), "1e-3": 0.4}
    assert expected.translated_probes_similarity_at_fmr == {"1e-1": 0.0, "1e-2": pytest.approx(0.4), "1e-3": 0.8}


def test_what_an_older_manifest_does_not_say_is_not_expected() -> None:
    expected = expected_of(make_manifest(OLD, NEW, quality=quality()))
    assert expected is not None
    assert (expected.native_probes, expected.native_probes_similarity_at_fmr) == (None, None)
    assert (expected.translated_probes, expected.translated_probes_similarity_at_fmr) == (None, None)
    assert expected_of(make_manifest(OLD, NEW)) is None


@pytest.mark.parametrize(("hits", "of"), [(0, 10), (1, 1), (5, 50), (256, 512), (512, 512)])
def test_the_wilson_interval_ends_where_the_score_test_rejects(hits: int, of: int) -> None:
    low, high = wilson(hits, of)
    assert 0 <= low < high <= 1
    assert low <= hits / of <= high
    for end in (low, high):
        if 0 < end < 1:
            assert abs(hits / of - end) / sqrt(end * (1 - end) / of) == pytest.approx(WILSON_Z)
