"""Identification and enrolment over the echo engine and a real embedded store, without HTTP."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from contract.calibration import Calibration, CalibrationPoint
from contract.confidence import ConfidenceModel
from contract.spaces import FeatureSpace
from contract.vectors import Features, encode_float32
from service.bounds import Deadline, InFlight
from service.catalog import Catalog
from service.engines.echo import EchoEngine
from service.enrolment import Enrolment
from service.galleries.local import LocalGalleries
from service.galleries.values import Face, GalleryInfo
from service.identification import Identification, SearchObserver
from service.live_catalog import LiveCatalog
from service.metrics import create_metrics
from service.translation import Translation
from tests.manifests import make_manifest
from tests.repository import SOURCE, TARGET

NEXT = FeatureSpace(id="next-12", dim=12)  # where galleries of TARGET migrate to
LONELY = FeatureSpace(id="lonely-16", dim=TARGET.dim)


def calibration(similarity: float, at_1e_1: float = 0.0) -> Calibration:
    """Rates of 1e-3 at this similarity and of 1e-1 at that one."""
    points = [
        CalibrationPoint(fmr=1e-1, similarity=at_1e_1, extrapolated=False),
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
MANIFEST = make_manifest(
    calibration=calibration(0.5),
    target_calibration=calibration(0.9),
    native_to_translated=calibration(0.4),
    translated_to_translated=calibration(0.7),
    confidence=CONFIDENCE,
)
TO_NEXT = make_manifest(SOURCE, NEXT, version=3)


class World:
    """The use cases, the store under them, and a catalogue with routes from SOURCE to TARGET and to NEXT."""

    def __init__(self, galleries: LocalGalleries, observer: SearchObserver | None) -> None:
        self.metrics = create_metrics()
        self.engine = EchoEngine()
        self.catalog = LiveCatalog(Path("unused"), self.engine, self.metrics, retire_after_s=1)
        self.catalog.current = Catalog.of([MANIFEST, TO_NEXT])
        self.galleries = galleries
        rows = InFlight(10_000, "features", self.metrics.rows_in_flight)
        translation = Translation(self.catalog, self.engine, rows, self.metrics)
        self.enrolment = Enrolment(translation, galleries, self.catalog, self.metrics)
        self.identification = Identification(translation, galleries, self.catalog, self.metrics, observer)

    async def gallery(self, name: str = "staff", space: FeatureSpace = TARGET) -> GalleryInfo:
        """A gallery, made if it is not there."""
        await self.galleries.create(name, space)
        return await self.galleries.info(name)

    async def enrol(self, space: FeatureSpace, faces: list[Face], raw: Features) -> None:
        """Enrol into `staff`."""
        await self.enrolment.enrol(space.id, await self.galleries.info("staff"), faces, raw, soon())


@asynccontextmanager
async def open_world(directory: Path, observer: SearchObserver | None = None) -> AsyncIterator[World]:
    """A world over an empty store."""
    galleries = LocalGalleries.open(directory, faces_max=2000, galleries_max=10)
    try:
        world = World(galleries, observer)
        for manifest in world.catalog.current.translators.values():
            await world.engine.load(manifest)
        yield world
    finally:
        await galleries.close()


def features(rows: int, dim: int, seed: int = 0) -> Features:
    """Raw features [rows, dim], seeded."""
    return np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32)


def soon() -> Deadline:
    """A deadline that no test reaches."""
    return Deadline(time.monotonic() + 60)
