"""Routes of a plan, what it expects, and the interval around the share of faces with low confidence."""

import time
from collections.abc import AsyncIterator
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from contract.confidence import ConfidenceModel
from contract.manifest import Identification, Interval, Quality
from contract.spaces import FeatureSpace
from contract.vectors import encode_float32, l2_normalize
from service.bounds import Deadline, InFlight
from service.catalog import Catalog
from service.errors import NoRouteError
from service.galleries.local import LocalGalleries
from service.galleries.values import Face, Rendition
from service.live_catalog import LiveCatalog
from service.metrics import create_metrics
from service.migration.plan import WILSON_Z, Measured, Planner, expected_of, rate, routes, wilson
from service.migration.record import Plan
from service.translation import Translation
from tests.engines import ScriptedEngine
from tests.manifests import make_manifest, publish
from tests.unit.service.migration.migrations import NEW, OLD, THIRD
from tests.unit.service.world import CONFIDENCE, calibration, features

TRUST = ConfidenceModel.model_validate(
    CONFIDENCE.model_dump()
    | {
        "dim": OLD.dim,
        "mean": encode_float32(np.zeros((1, OLD.dim), np.float32)),
        "components": encode_float32(np.eye(1, OLD.dim, dtype=np.float32)),
    }
)


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


async def enrol(store: LocalGalleries, space: FeatureSpace, prefix: str, count: int) -> None:
    """Enrol faces natively of a space, translated where that is not the gallery's."""
    faces = [Face(f"{prefix}{row:04d}", "s") for row in range(count)]
    original = Rendition(space, l2_normalize(features(count, space.dim)))
    translated = [] if space == OLD else [Rendition(OLD, l2_normalize(features(count, OLD.dim)), "x@1")]
    await store.upsert("staff", faces, original, translated)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalGalleries]:
    """A gallery of OLD without faces."""
    store = LocalGalleries.open(tmp_path / "galleries", faces_max=2000, galleries_max=1)
    await store.create("staff", OLD)
    yield store
    await store.close()


async def planned(store: LocalGalleries, repository: Path) -> Plan:
    """The plan to move the gallery to NEW."""
    metrics, engine = create_metrics(), ScriptedEngine()
    publish(repository, make_manifest(OLD, NEW, confidence=TRUST))
    publish(repository, make_manifest(THIRD, NEW))
    catalog = LiveCatalog(repository, engine, metrics, retire_after_s=0)
    await catalog.reload()
    rows = InFlight(10_000, "features", metrics.migration_rows_in_flight)
    planner = Planner(store, catalog, Translation(catalog, engine, rows, metrics))
    return await planner.plan(await store.info("staff"), NEW, Deadline(time.monotonic() + 60))


@pytest.mark.anyio
async def test_a_plan_tells_time_and_confidence_of_every_origin_though_natives_come_first(
    store: LocalGalleries, tmp_path: Path
) -> None:
    for prefix, space, count in (("a", NEW, 600), ("b", OLD, 30), ("c", THIRD, 5)):
        await enrol(store, space, prefix, count)
    plan = await planned(store, tmp_path / "repository")
    assert (plan.faces_native, plan.faces_to_translate, plan.sampled) == (600, 35, 35)
    assert plan.faces_per_second is not None
    assert plan.seconds == pytest.approx(35 / plan.faces_per_second)
    of_old = next(origin for origin in plan.origins if origin.model == OLD.id)
    assert of_old.low_confidence is not None
    assert of_old.low_confidence.sampled == 30


def test_the_rate_is_of_the_gallery_and_not_of_the_sample() -> None:
    measured = {"fast": Measured(10, 0.1, []), "slow": Measured(10, 10.0, [])}
    assert rate({"fast": 900, "slow": 100, NEW.id: 5}, measured) == pytest.approx(1000 / (900 * 0.01 + 100 * 1.0))
    assert rate({"fast": 900, "rare": 1}, {"fast": measured["fast"]}) == pytest.approx(100)
    assert rate({NEW.id: 5}, {}) is None


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
