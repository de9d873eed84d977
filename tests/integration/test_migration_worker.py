"""The worker with a real store: what others do meanwhile, engines that fail, and records that a crash left behind."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from contract.vectors import Features
from service.bounds import Deadline, InFlight
from service.catalog import Catalog
from service.errors import (
    CopyExistsError,
    CopyIncompleteError,
    EngineFailedError,
    EngineOverloadedError,
    EngineUnavailableError,
    MigrationStateError,
    UnknownMigrationError,
)
from service.galleries.base import Face, GalleryStore, Rendition
from service.galleries.local import LocalGalleries
from service.live_catalog import LiveCatalog
from service.metrics import create_metrics
from service.migration.backfill import CLAIM_FAILURES_MAX, Backfill, BackfillBounds
from service.migration.jobs import Migrations
from service.migration.pace import LiveTraffic, Pace
from service.migration.plan import Planner
from service.migration.record import Migration, State
from service.migration.records import KEPT_MAX, Records, counts_key
from service.translation import Translation
from tests.engines import ScriptedEngine
from tests.integration.gallery_stores import unit_features
from tests.manifests import make_manifest, publish
from tests.unit.service.migration.migrations import NEW, OLD, THIRD, migration

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
    engine: ScriptedEngine = field(default_factory=ScriptedEngine)
    looked: list[list[Migration]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = create_metrics()
        self.catalog = LiveCatalog(self.repository, self.engine, self.metrics, retire_after_s=0)
        rows = InFlight(10_000, "features", self.metrics.migration_rows_in_flight)
        translation = Translation(self.catalog, self.engine, rows, self.metrics)
        woken = asyncio.Event()
        planner = Planner(self.store, self.catalog, translation)
        self.migrations = Migrations(self.store, self.catalog, planner, woken.set)
        self.backfill = Backfill(
            self.migrations,
            self.store,
            translation,
            Pace(LiveTraffic(), 1.0),
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
    async def processes(self, count: int = 1, bounds: BackfillBounds = BOUNDS) -> AsyncIterator[list[Process]]:
        """Processes over the store, with the gallery enrolled."""
        async with self.store() as store:
            if await store.create(GALLERY, OLD):
                await enrol(store, FACES)
            made = [Process(store, self.repository, bounds) for _ in range(count)]
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


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world in which OLD leads to NEW."""
    publish(tmp_path / "repository", make_manifest(OLD, NEW))
    return World(tmp_path / "galleries", tmp_path / "repository")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """What an undisturbed migration makes of the gallery."""
    folder = tmp_path_factory.mktemp("undisturbed")
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


def test_processes_share_a_job_and_each_face_is_filled_once(world: World, undisturbed: dict[str, list[float]]) -> None:
    async def scenario() -> None:
        async with world.processes(3) as processes, AsyncExitStack() as stack:
            begun = await processes[0].begin()
            for process in processes:
                await stack.enter_async_context(process.working())
            await processes[2].wait_for(begun.id, State.READY)
            assert sum(process.counted("filled") for process in processes) == FACES
            assert sum(process.counted("left") for process in processes) == 0
            assert all(process.engine.running_most <= BOUNDS.batches_at_once for process in processes)
            assert max(max(process.engine.batches[1:], default=0) for process in processes) <= BOUNDS.batch_faces
            assert await rows_of(processes[0].store) == undisturbed

    run(scenario)


def test_an_engine_that_cannot_be_reached_only_delays_the_job(
    world: World, undisturbed: dict[str, list[float]]
) -> None:
    async def scenario() -> None:
        # A claim is left behind each time, so its lease is short.
        async with world.processes(bounds=replace(BOUNDS, lease_ms=1_000)) as (one,):
            begun = await one.begin()
            for error in (EngineUnavailableError("gone"), EngineOverloadedError("full")):
                one.engine.error = error
                async with one.working():
                    before = len(one.engine.batches)

                    async def has_tried_again(before: int = before) -> bool:
                        return len(one.engine.batches) >= before + 3

                    await until(has_tried_again)
                assert (await one.migrations.get(begun.id)).state is State.BACKFILLING
            one.engine.error = None
            async with one.working():
                await one.wait_for(begun.id, State.READY)
            assert await rows_of(one.store) == undisturbed

    run(scenario)


def test_a_claim_that_fails_again_and_again_fails_the_job_until_it_is_resumed(
    world: World, undisturbed: dict[str, list[float]]
) -> None:
    bounds = BackfillBounds(batch_faces=FACES, batches_at_once=1, lease_ms=5_000, poll_s=0.02)

    async def scenario() -> None:
        async with world.processes(bounds=bounds) as (one,), one.working():
            one.engine.error = EngineFailedError("broken")
            with pytest.raises(EngineFailedError):
                await one.begin()  # already the plan's measurement shows it, and nothing is begun
            one.engine.error = None
            assert await one.migrations.all() == []
            begun = await one.begin()
            one.engine.error = EngineFailedError("broken")
            failed = await one.wait_for(begun.id, State.FAILED)
            assert failed.reason == "engine-failed"
            assert one.counted("failed") == FACES
            with pytest.raises(MigrationStateError):
                await one.migrations.cut_over(begun.id)
            one.engine.error = None
            resumed = await one.migrations.resume(begun.id)
            assert (resumed.state, resumed.reason) == (State.BACKFILLING, None)
            await one.wait_for(begun.id, State.READY)
            assert await rows_of(one.store) == undisturbed

    run(scenario)


def test_one_failure_of_an_engine_does_not_fail_the_job(world: World) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,):
            begun = await one.begin()
            failures = iter(range(CLAIM_FAILURES_MAX - 1))

            def sometimes(echoed: Features) -> Features:
                return echoed if next(failures, None) is None else np.full_like(echoed, np.nan)

            one.engine.answer = sometimes
            async with one.working():
                await one.wait_for(begun.id, State.READY)

    run(scenario)


def test_without_its_route_a_job_fails_with_the_reason_and_can_be_cancelled(world: World) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,):
            begun = await one.begin()
            one.catalog.current = Catalog.of([make_manifest(OLD, THIRD)])
            async with one.working():
                assert (await one.wait_for(begun.id, State.FAILED)).reason == "no-route"
                cancelled = await one.migrations.cancel(begun.id)
            assert (cancelled.state, cancelled.reason) == (State.CANCELLED, "no-route")
            assert [copy.space for copy in (await one.store.info(GALLERY)).copies] == [OLD]

    run(scenario)


def test_a_cut_over_before_every_face_is_there_is_refused_and_changes_nothing(world: World) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,):
            begun = await one.begin()
            assert begun.state is State.BACKFILLING
            with pytest.raises(CopyIncompleteError):
                await one.migrations.cut_over(begun.id)
            assert (await one.store.info(GALLERY)).space == OLD
            assert (await one.migrations.get(begun.id)).state is State.BACKFILLING

    run(scenario)


def test_faces_deleted_and_enrolled_anew_during_the_job_are_left_as_they_are(world: World) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,):
            begun = await one.begin()
            claim = await one.store.claim(GALLERY, NEW, 2, 60_000)  # a worker elsewhere, which is slow
            assert claim is not None
            deleted, renewed = (original.face for original in claim.originals)
            await one.store.delete_face(GALLERY, deleted.face_id)
            native = Rendition(NEW, unit_features(1, NEW.dim, seed=5))
            old = Rendition(OLD, unit_features(1, OLD.dim, seed=6), "x@1")
            await one.store.upsert(GALLERY, [renewed], native, (old,))
            assert await one.store.fill(GALLERY, claim, [Rendition(NEW, unit_features(2, NEW.dim, seed=7), "y@1")]) == 0
            async with one.working():
                await one.wait_for(begun.id, State.READY)
            rows = await rows_of(one.store)
            assert deleted.face_id not in rows
            assert rows[renewed.face_id] == pytest.approx(native.features[0].tolist(), abs=1e-6)

    run(scenario)


def test_of_many_who_begin_at_once_one_begins(world: World) -> None:
    async def scenario() -> None:
        async with world.processes(4) as processes:
            begun = await asyncio.gather(*(process.begin() for process in processes), return_exceptions=True)
            refused = [answer for answer in begun if isinstance(answer, CopyExistsError)]
            assert len(refused) == 3
            assert len(await processes[0].migrations.all()) == 1

    run(scenario)


def test_a_record_whose_copy_was_not_added_yet_goes_on(world: World, undisturbed: dict[str, list[float]]) -> None:
    async def scenario() -> None:
        async with world.store() as store:
            await store.create(GALLERY, OLD)
            await enrol(store, FACES)
            left = migration(gallery=GALLERY, state=State.BEGINNING)
            assert await Records(store).add(left)  # and then the process died
        async with world.processes() as (one,), one.working():
            await one.wait_for(left.id, State.READY)
            assert await rows_of(one.store) == undisturbed

    run(scenario)


def test_a_copy_that_belongs_to_no_record_makes_way_for_the_next_migration(world: World) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,):
            await one.store.add_copy(GALLERY, THIRD)
            await one.begin()
            assert [copy.space for copy in (await one.store.info(GALLERY)).copies] == [OLD, NEW]

    run(scenario)


async def _cut_over(one: Process) -> None:
    await one.store.serve(GALLERY, NEW)


async def _roll_back(one: Process) -> None:
    await _cut_over(one)
    await one.store.serve(GALLERY, OLD)


async def _complete(one: Process) -> None:
    await _cut_over(one)
    await one.store.drop_copy(GALLERY, OLD)


async def _cancel(one: Process) -> None:
    await one.store.drop_copy(GALLERY, NEW)


@pytest.mark.parametrize(
    ("step", "state"),
    [
        (_cut_over, State.SERVING),
        (_roll_back, State.READY),
        (_complete, State.COMPLETED),
        (_cancel, State.CANCELLED),
    ],
)
def test_a_step_that_a_crash_cut_off_from_its_record_is_seen_all_the_same(
    world: World, step: Callable[[Process], Awaitable[None]], state: State
) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,), one.working():
            begun = await one.begin()
            await one.wait_for(begun.id, State.READY)
            await step(one)
            assert (await one.migrations.get(begun.id)).state is state

    run(scenario)


def test_an_ending_that_was_cut_short_ends_once_more(world: World) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,):
            begun = await one.begin()
            notes = await one.store.notes()
            cancelled = await one.migrations.cancel(begun.id)
            ((key, text),) = notes.items()
            assert await one.store.note(key, text, None)  # as if it had not been taken away
            assert await one.migrations.active() == []
            assert await one.migrations.all() == [cancelled]
            await one.begin()

    run(scenario)


def test_the_latest_finished_migrations_are_kept_and_the_others_forgotten_with_their_counts(world: World) -> None:
    async def scenario() -> None:
        async with world.store() as store:
            records = Records(store)
            for number in range(KEPT_MAX + 5):
                one = migration(number)
                assert await records.add(one)
                await store.tally(counts_key(one.id), {"searches": 1})
                assert await records.move(one, State.CANCELLED, None)
            kept = await records.all()
            assert [one.id for one in kept] == [f"m{number}" for number in range(KEPT_MAX + 4, 4, -1)]
            assert await records.active() == []
            with pytest.raises(UnknownMigrationError):
                await records.get("m4")
            assert await store.tallied(counts_key("m4")) == {}
            assert await store.tallied(counts_key("m5")) == {"searches": 1}

    run(scenario)


def test_a_record_that_changed_meanwhile_is_not_overwritten(world: World) -> None:
    async def scenario() -> None:
        async with world.store() as store:
            records, one = Records(store), migration()
            assert await records.add(one)
            assert not await records.add(one)
            assert await records.move(one, State.READY, None)
            assert await records.move(one, State.FAILED, "late") is None
            assert (await records.get(one.id)).state is State.READY

    run(scenario)


def test_a_record_that_nobody_can_read_stops_no_other(world: World) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,), one.working():
            assert await one.store.note("migrating:another", '{"id": "from a later version"}', None)
            await one.wait_for((await one.begin()).id, State.READY)

    run(scenario)
