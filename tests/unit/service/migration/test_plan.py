"""Routes of a plan, and the interval around the share of faces with low confidence."""

from math import sqrt

import pytest

from service.catalog import Catalog
from service.errors import NoRouteError
from service.migration.plan import WILSON_Z, routes, wilson
from tests.manifests import make_manifest
from tests.unit.service.migration.migrations import NEW, OLD, THIRD


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


@pytest.mark.parametrize(("hits", "of"), [(0, 10), (1, 1), (5, 50), (256, 512), (512, 512)])
def test_the_wilson_interval_ends_where_the_score_test_rejects(hits: int, of: int) -> None:
    low, high = wilson(hits, of)
    assert 0 <= low < high <= 1
    assert low <= hits / of <= high
    for end in (low, high):
        if 0 < end < 1:
            assert abs(hits / of - end) / sqrt(end * (1 - end) / of) == pytest.approx(WILSON_Z)
