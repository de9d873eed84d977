"""The worker with a real store: what others do meanwhile, and engines that fail."""

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contract.manifest import TranslatorManifest
from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.catalog import Catalog
from service.errors import (
    CopyIncompleteError,
    EngineFailedError,
    EngineOverloadedError,
    EngineUnavailableError,
    MigrationStateError,
)
from service.galleries.values import Face, Rendition
from service.migration.backfill import CLAIM_FAILURES_MAX, BackfillBounds
from service.migration.record import State
from tests.integration.gallery_stores import unit_features
from tests.integration.migration_processes import (
    BOUNDS,
    FACES,
    GALLERY,
    Process,
    World,
    make_world,
    migrated_undisturbed,
    rows_of,
    run,
    until,
)
from tests.manifests import make_manifest
from tests.unit.service.migration.migrations import NEW, OLD


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world in which OLD leads to NEW."""
    return make_world(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """What an undisturbed migration makes of the gallery."""
    return migrated_undisturbed(tmp_path_factory.mktemp("undisturbed"))


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
            assert (await one.migrations.all()).migrations == []
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


WIDER = [
    (FeatureSpace(id=OLD.id, dim=OLD.dim + 1), NEW, "invalid-feature"),
    (OLD, FeatureSpace(id=NEW.id, dim=NEW.dim + 1), "space-mismatch"),
]


@pytest.mark.parametrize(("source", "target", "reason"), WIDER)
def test_a_catalogue_of_other_dimensions_fails_the_job_at_once_until_it_is_resumed(
    world: World, undisturbed: dict[str, list[float]], source: FeatureSpace, target: FeatureSpace, reason: str
) -> None:
    async def scenario() -> None:
        # What failed is leased until its lease ends, so that is short.
        async with world.processes(bounds=replace(BOUNDS, lease_ms=1_000)) as (one,):
            begun, right = await one.begin(), one.catalog.current
            planned = len(one.engine.batches)
            await serve_instead(one, make_manifest(source, target, version=2))
            async with one.working():
                failed = await one.wait_for(begun.id, State.FAILED)
                assert failed.reason == reason
                assert 0 < one.counted("failed") <= FACES
                assert one.counted("filled") == 0
                assert len(one.engine.batches) - planned <= BOUNDS.batches_at_once  # no waiting mends it: one try each
            one.catalog.current = right
            await one.migrations.resume(begun.id)
            async with one.working():
                await one.wait_for(begun.id, State.READY)
            assert await rows_of(one.store) == undisturbed

    run(scenario)


def test_after_the_cut_over_nothing_fails_for_faces_that_the_old_copy_cannot_take(world: World) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,), one.working():
            begun = await one.begin()
            await one.wait_for(begun.id, State.READY)
            await one.migrations.cut_over(begun.id)
            await serve_instead(one, make_manifest(FeatureSpace(id=NEW.id, dim=NEW.dim + 1), OLD))
            await one.store.upsert(GALLERY, [Face("new", "s")], Rendition(NEW, unit_features(1, NEW.dim)))

            async def has_given_up() -> bool:
                return one.counted("failed") > 0

            await until(has_given_up)
            serving = await one.migrations.get(begun.id)
            assert (serving.state, serving.reason) == (State.SERVING, None)

    run(scenario)


async def serve_instead(process: Process, manifest: TranslatorManifest) -> None:
    """Let this be all that the process has in its catalogue."""
    await process.engine.load(manifest)
    process.catalog.current = Catalog.of([manifest])


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
