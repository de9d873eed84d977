"""Galleries, repositories and gateway processes for tests of migrations that need no HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from contract.vectors import Features
from service.bounds import Deadline, InFlight
from service.galleries.base import GalleryStore
from service.galleries.local import LocalGalleries
from service.galleries.values import Face, Rendition
from service.live_catalog import LiveCatalog
from service.metrics import create_metrics
from service.migration.backfill import Backfill, BackfillBounds
from service.migration.gateways import Gateways
from service.migration.jobs import Migrations
from service.migration.pace import Pace, Sleep
from service.migration.plan import Planner
from service.migration.record import Migration, State
from service.migration.routeless import PATIENCE_S, Routeless
from service.migration.traffic import Clock, LiveTraffic
from service.translation import Translation
from tests.engines import ScriptedEngine
from tests.integration.gallery_stores import unit_features
from tests.manifests import make_manifest, publish
from tests.unit.service.migration.migrations import NEW, OLD

GALLERY = "staff"
FACES = 40
BOUNDS = BackfillBounds(batch_faces=4, batches_at_once=2, lease_ms=5_000, poll_s=0.02)
DEADLINE_S = 60


@dataclass
class Process:
    """What one gateway process has of migrations: an engine, jobs and a worker over a store that it may share."""

    store: GalleryStore
    repository: Path
    bounds: BackfillBounds = BOUNDS
    patience_s: float = PATIENCE_S
    engine: ScriptedEngine = field(default_factory=ScriptedEngine)
    looked: list[list[Migration]] = field(default_factory=list)
    share: float = 1.0
    clock: Clock = time.monotonic
    sleep: Sleep = asyncio.sleep

    def __post_init__(self) -> None:
        self.metrics = create_metrics()
        self.catalog = LiveCatalog(self.repository, self.engine, self.metrics, retire_after_s=0)
        rows = InFlight(10_000, "features", self.metrics.migration_rows_in_flight)
        translation = Translation(self.catalog, self.engine, rows, self.metrics)
        woken = asyncio.Event()
        self.traffic = LiveTraffic(self.clock)
        self.gateways = Gateways(self.store, self.traffic, self.clock)
        planner = Planner(self.store, self.catalog, translation)
        self.migrations = Migrations(self.store, self.catalog, planner, woken.set)
        self.backfill = Backfill(
            self.migrations,
            self.store,
            translation,
            Routeless(self.catalog, self.patience_s),
            Pace(self.gateways, self.share, self.clock, self.sleep),
            self.metrics,
            self.bounds,
            woken,
            lambda found: self.looked.append(list(found)),
        )

    async def begin(self, target: str = NEW.id) -> Migration:
        """Begin a migration of the one gallery."""
        return await self.migrations.begin(GALLERY, target, soon())

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """The worker, for the length of the block."""
        task = asyncio.create_task(self.backfill.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def wait_for(self, migration_id: str, state: State) -> Migration:
        """The migration once it is in a state."""

        async def is_there() -> bool:
            return (await self.migrations.get(migration_id)).state is state

        await until(is_there)
        return await self.migrations.get(migration_id)

    def counted(self, outcome: str) -> float:
        """Faces that this process has counted."""
        return self.metrics.registry.get_sample_value("r3an_migration_faces_total", {"outcome": outcome}) or 0.0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll until it holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110 - what happens in a store sets no event
            await asyncio.sleep(0.005)


def soon() -> Deadline:
    return Deadline(time.monotonic() + DEADLINE_S)


@dataclass
class World:
    """A gallery of OLD, a repository, and any number of processes."""

    directory: Path
    repository: Path

    @asynccontextmanager
    async def store(self) -> AsyncIterator[LocalGalleries]:
        """The store; opened again it is as after a restart."""
        store = LocalGalleries.open(self.directory, faces_max=1000, galleries_max=200)
        try:
            yield store
        finally:
            await store.close()

    @asynccontextmanager
    async def processes(
        self, count: int = 1, bounds: BackfillBounds = BOUNDS, patience_s: float = PATIENCE_S
    ) -> AsyncIterator[list[Process]]:
        """Processes over the store, with the gallery enrolled."""
        async with self.store() as store:
            if await store.create(GALLERY, OLD):
                await enrol(store, FACES)
            made = [Process(store, self.repository, bounds, patience_s) for _ in range(count)]
            for process in made:
                await process.catalog.reload()
            yield made


async def enrol(store: GalleryStore, faces: int, seed: int = 0, renditions: tuple[Rendition, ...] = ()) -> Features:
    features = unit_features(faces, OLD.dim, seed)
    named = [Face(f"face-{row:03d}", f"subject-{row:03d}") for row in range(faces)]
    await store.upsert(GALLERY, named, Rendition(OLD, features), renditions)
    return features


async def rows_of(store: GalleryStore) -> dict[str, list[float]]:
    """The features of the copy in NEW, by face."""
    found = await store.search(GALLERY, NEW, np.eye(NEW.dim, dtype=np.float32), FACES)
    rows: dict[str, list[float]] = {}
    for matches in found.matches:
        for match in sorted(matches, key=lambda match: match.face_id):
            rows.setdefault(match.face_id, []).append(match.similarity)
    return rows


def make_world(folder: Path) -> World:
    """A world in which OLD leads to NEW."""
    publish(folder / "repository", make_manifest(OLD, NEW))
    return World(folder / "galleries", folder / "repository")


def migrated_undisturbed(folder: Path) -> dict[str, list[float]]:
    """What an undisturbed migration makes of the gallery."""
    publish(folder / "repository", make_manifest(OLD, NEW))

    async def migrate() -> dict[str, list[float]]:
        async with World(folder / "galleries", folder / "repository").processes() as (one,), one.working():
            await one.wait_for((await one.begin()).id, State.READY)
            return await rows_of(one.store)

    return asyncio.run(migrate())


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(2 * DEADLINE_S):
            await scenario()

    asyncio.run(bounded())
