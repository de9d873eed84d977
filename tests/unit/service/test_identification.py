"""The use case between a request and a gallery, over a scripted engine and a real embedded store."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from contract.calibration import Calibration, CalibrationPoint
from contract.confidence import ConfidenceModel, encode_float32
from contract.spaces import FeatureSpace
from contract.vectors import Features, l2_normalize
from service.bounds import Deadline, InFlight
from service.catalog import Catalog
from service.engines.echo import EchoEngine
from service.errors import (
    DeadlineExceededError,
    GallerySpaceMismatchError,
    NoRouteError,
    UncalibratedError,
    UnknownGalleryError,
    UnknownModelError,
)
from service.galleries.base import Face, GalleryInfo
from service.galleries.local import LocalGalleries
from service.identification import Identification, Threshold
from service.live_catalog import LiveCatalog
from service.metrics import create_metrics
from service.translation import Translation
from tests.manifests import make_manifest
from tests.repository import SOURCE, TARGET

pytestmark = pytest.mark.anyio
LONELY = FeatureSpace(id="lonely-16", dim=TARGET.dim)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def calibration(similarity: float) -> Calibration:
    points = [
        CalibrationPoint(fmr=1e-1, similarity=0.0, extrapolated=False),
        CalibrationPoint(fmr=1e-3, similarity=similarity, extrapolated=False),
    ]
    return Calibration(impostor_pairs=1000, points=tuple(points))


CONFIDENCE = ConfidenceModel(
    dim=SOURCE.dim,
    mean=encode_float32(np.zeros((1, SOURCE.dim), np.float32)),
    components=encode_float32(np.eye(1, SOURCE.dim, dtype=np.float32)),
    variances=encode_float32(np.ones((1, 1), np.float32)),
    residual_variance=1.0,
    distances=encode_float32(np.float32([[0.5, 1.5]])),
)
MANIFEST = make_manifest(calibration=calibration(0.5), target_calibration=calibration(0.9), confidence=CONFIDENCE)


class World:
    """An identification over the echo engine and an embedded store."""

    def __init__(self, directory: Path) -> None:
        self.metrics = create_metrics()
        self.engine = EchoEngine()
        self.catalog = LiveCatalog(Path("unused"), self.engine, self.metrics, retire_after_s=1)
        self.catalog.current = Catalog.of([MANIFEST])
        rows = InFlight(10_000, "features", self.metrics.rows_in_flight)
        translation = Translation(self.catalog, self.engine, rows, self.metrics)
        self.galleries = LocalGalleries.open(directory, faces_max=1000, galleries_max=10)
        self.identification = Identification(translation, self.galleries, self.catalog, self.metrics)

    async def gallery(self, name: str = "staff", space: FeatureSpace = TARGET) -> GalleryInfo:
        await self.galleries.create(name, space)
        return await self.galleries.info(name)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.engine.load(MANIFEST)
    yield world
    await world.galleries.close()


def features(rows: int, dim: int, seed: int = 0) -> Features:
    return np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32)


def soon() -> Deadline:
    return Deadline(time.monotonic() + 60)


async def test_a_translated_probe_is_judged_by_its_translators_calibration_and_confidence(world: World) -> None:
    gallery, probes = await world.gallery(), features(3, SOURCE.dim)
    enrolled = await world.identification.enrol(
        SOURCE.id, gallery, [Face(f"f{i}", "s") for i in range(3)], probes, soon()
    )
    assert (enrolled.new, enrolled.translator) == (3, MANIFEST)
    found = await world.identification.search(SOURCE.id, gallery, probes, 1, Threshold(), soon())
    assert [matches[0].face_id for matches in found.matches] == ["f0", "f1", "f2"]
    assert found.calibration == MANIFEST.calibration
    assert found.confidence is not None
    np.testing.assert_array_equal(found.confidence, CONFIDENCE.score(probes))
    assert found.inference_s is not None


async def test_a_native_probe_is_judged_by_the_spaces_own_calibration(world: World) -> None:
    gallery, probes = await world.gallery(), features(2, TARGET.dim)
    await world.identification.enrol(TARGET.id, gallery, [Face("f0", "s"), Face("f1", "s")], 5 * probes, soon())
    found = await world.identification.search(TARGET.id, gallery, 7 * probes, 1, Threshold(max_fmr=1e-3), soon())
    assert [[match.face_id for match in matches] for matches in found.matches] == [["f0"], ["f1"]]
    assert (found.calibration, found.confidence, found.inference_s) == (MANIFEST.target_calibration, None, None)


async def test_a_rate_decides_by_the_calibrated_similarity(world: World) -> None:
    gallery = await world.gallery()
    probe = l2_normalize(features(1, TARGET.dim))
    other = l2_normalize(features(1, TARGET.dim, seed=1))
    other = l2_normalize(other - (other @ probe.T) * probe)
    near, far = 0.95 * probe + np.sqrt(1 - 0.95**2) * other, 0.85 * probe + np.sqrt(1 - 0.85**2) * other
    both = np.concatenate([near, far]).astype(np.float32)
    await world.identification.enrol(TARGET.id, gallery, [Face("near", "s"), Face("far", "t")], both, soon())
    strict = await world.identification.search(TARGET.id, gallery, probe, 5, Threshold(max_fmr=1e-3), soon())
    loose = await world.identification.search(TARGET.id, gallery, probe, 5, Threshold(max_fmr=1e-1), soon())
    assert [match.face_id for match in strict.matches[0]] == ["near"]
    assert [match.face_id for match in loose.matches[0]] == ["near", "far"]


async def test_a_rate_that_nobody_measured_is_not_invented(world: World) -> None:
    gallery = await world.gallery("lonely", LONELY)
    with pytest.raises(UncalibratedError, match="nobody has measured"):
        await world.identification.search(
            LONELY.id, gallery, features(1, LONELY.dim), 1, Threshold(max_fmr=0.01), soon()
        )
    gallery = await world.gallery()
    with pytest.raises(UncalibratedError, match=r"max_fmr must lie in \[0.001, 0.1\]"):
        await world.identification.search(
            SOURCE.id, gallery, features(1, SOURCE.dim), 1, Threshold(max_fmr=1e-9), soon()
        )


async def test_a_gallery_outlives_its_translators(world: World) -> None:
    gallery = await world.gallery("lonely", LONELY)
    assert world.identification.source_space(LONELY.id, gallery) == LONELY
    with pytest.raises(NoRouteError):
        world.identification.source_space(SOURCE.id, gallery)
    with pytest.raises(UnknownModelError):
        world.identification.source_space("nobody", gallery)


async def test_a_space_that_changed_its_dimension_does_not_enter_its_old_gallery(world: World) -> None:
    gallery = await world.gallery("old", FeatureSpace(id=TARGET.id, dim=TARGET.dim + 1))
    with pytest.raises(GallerySpaceMismatchError, match="17 dimensions"):
        world.identification.source_space(SOURCE.id, gallery)


async def test_a_gallery_made_anew_meanwhile_takes_nothing_of_the_old_space(world: World) -> None:
    gallery = await world.gallery()
    await world.galleries.drop("staff")
    await world.galleries.create("staff", LONELY)
    with pytest.raises(GallerySpaceMismatchError):
        await world.identification.enrol(TARGET.id, gallery, [Face("f", "s")], features(1, TARGET.dim), soon())
    with pytest.raises(GallerySpaceMismatchError):
        await world.identification.search(TARGET.id, gallery, features(1, TARGET.dim), 1, Threshold(), soon())
    assert (await world.galleries.info("staff")).faces == 0


async def test_a_gallery_dropped_meanwhile_is_unknown(world: World) -> None:
    gallery = await world.gallery()
    await world.galleries.drop("staff")
    with pytest.raises(UnknownGalleryError):
        await world.identification.search(TARGET.id, gallery, features(1, TARGET.dim), 1, Threshold(), soon())


async def test_a_passed_deadline_ends_the_search(world: World) -> None:
    gallery = await world.gallery()
    late = Deadline(time.monotonic())
    with pytest.raises(DeadlineExceededError):
        await world.identification.search(TARGET.id, gallery, features(1, TARGET.dim), 1, Threshold(), late)


async def test_a_slow_store_is_given_up_at_the_deadline(world: World) -> None:
    gallery = await world.gallery()
    probes = features(900, TARGET.dim)
    await world.identification.enrol(TARGET.id, gallery, [Face(f"f{i}", "s") for i in range(900)], probes, soon())
    hurried = Deadline(time.monotonic() + 0.02)
    with pytest.raises(DeadlineExceededError):
        await world.identification.search(TARGET.id, gallery, np.tile(probes, (10, 1)), 900, Threshold(), hurried)


async def test_searches_and_enrolments_are_counted_by_gallery(world: World) -> None:
    gallery, labels = await world.gallery(), {"store": "local", "gallery": "staff"}
    await world.identification.enrol(TARGET.id, gallery, [Face("f", "s")], features(1, TARGET.dim), soon())
    await world.identification.search(TARGET.id, gallery, features(1, TARGET.dim), 1, Threshold(), soon())
    value = world.metrics.registry.get_sample_value
    assert value("r3an_gallery_enrolled_faces_total", labels) == 1
    assert value("r3an_gallery_search_duration_seconds_count", labels) == 1
