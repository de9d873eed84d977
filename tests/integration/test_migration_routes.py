"""The worker where translators are missing: in one process of many, in all, or for some faces only."""

from dataclasses import replace
from pathlib import Path

import pytest

from contract.spaces import FeatureSpace
from service.catalog import Catalog
from service.errors import CopyIncompleteError
from service.galleries.values import Face, Rendition
from service.migration.record import State
from tests.integration.gallery_stores import unit_features
from tests.integration.migration_processes import (
    BOUNDS,
    FACES,
    GALLERY,
    Process,
    World,
    make_world,
    run,
    until,
)
from tests.manifests import make_manifest, publish
from tests.unit.service.migration.migrations import NEW, OLD, THIRD

FOURTH = FeatureSpace(id="fourth-9", dim=9)
LOOKS = 10
LEADS_ELSEWHERE = Catalog.of([make_manifest(OLD, THIRD)])


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world in which OLD leads to NEW."""
    return make_world(tmp_path)


async def looks(process: Process) -> None:
    """Wait until a process has looked for work a number of times."""
    before = len(process.looked)

    async def has_looked() -> bool:
        return len(process.looked) >= before + LOOKS

    await until(has_looked)


async def enrol_newcomers(process: Process, count: int, first: str = "newcomer") -> None:
    """Enrol faces of THIRD, from which no translator leads into the copy that does not serve."""
    info = await process.store.info(GALLERY)
    named = [Face(f"{first}-{row}", f"{first}-{row}") for row in range(count)]
    served = Rendition(info.space, unit_features(count, info.space.dim, seed=7), "x@1")
    await process.store.upsert(GALLERY, named, Rendition(THIRD, unit_features(count, THIRD.dim, seed=8)), (served,))


async def served(process: Process) -> tuple[FeatureSpace, int]:
    """The space of the copy that serves, and how many faces it holds."""
    copy = (await process.store.info(GALLERY)).copies[0]
    return copy.space, copy.faces


async def missing(process: Process) -> int:
    """How many faces the other copy lacks."""
    info = await process.store.info(GALLERY)
    return info.faces - info.copies[1].faces


def test_a_process_that_lags_behind_leaves_the_job_to_the_others(world: World) -> None:
    async def scenario() -> None:
        async with world.processes(2) as (one, lagging):
            lagging.catalog.current = LEADS_ELSEWHERE
            begun = await one.begin()
            async with lagging.working():
                await looks(lagging)
                assert (await one.migrations.get(begun.id)).state is State.BACKFILLING
                async with one.working():
                    await one.wait_for(begun.id, State.READY)
            assert one.counted("filled") == FACES
            assert one.counted("left") == 0  # the other has claimed none

    run(scenario)


def test_a_route_that_is_published_later_is_taken_up(world: World) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,):
            begun = await one.begin()
            complete, one.catalog.current = one.catalog.current, LEADS_ELSEWHERE
            async with one.working():
                await looks(one)
                one.catalog.current = complete
                await one.wait_for(begun.id, State.READY)

    run(scenario)


def test_a_job_fails_once_nobody_has_had_its_route_for_too_long(world: World) -> None:
    async def scenario() -> None:
        async with world.processes(patience_s=0.05) as (one,):
            begun = await one.begin()
            one.catalog.current = LEADS_ELSEWHERE
            async with one.working():
                assert (await one.wait_for(begun.id, State.FAILED)).reason == "no-route"
                resumed = await one.migrations.resume(begun.id)
                assert (resumed.state, resumed.reason) == (State.BACKFILLING, None)
                assert (await one.wait_for(begun.id, State.FAILED)).reason == "no-route"
                cancelled = await one.migrations.cancel(begun.id)
            assert (cancelled.state, cancelled.reason) == (State.CANCELLED, "no-route")
            assert [copy.space for copy in (await one.store.info(GALLERY)).copies] == [OLD]

    run(scenario)


def test_faces_without_a_route_that_were_enrolled_later_keep_no_other_waiting(world: World) -> None:
    async def scenario() -> None:
        async with world.processes(bounds=replace(BOUNDS, lease_ms=1_000)) as (one,):
            begun = await one.begin()
            await enrol_newcomers(one, 10, first="a")  # before all others: more than a claim holds

            async def only_these_are_missing() -> bool:
                return await missing(one) == 10

            async with one.working():
                await until(only_these_are_missing)
                assert (await one.migrations.get(begun.id)).state is State.BACKFILLING
            publish(world.repository, make_manifest(THIRD, NEW))
            await one.catalog.reload()
            async with one.working():
                await one.wait_for(begun.id, State.READY)

    run(scenario)


def test_after_a_rollback_that_left_faces_behind_they_come_back_with_a_route(world: World) -> None:
    async def scenario() -> None:
        async with world.processes(bounds=replace(BOUNDS, lease_ms=1_000)) as (one,), one.working():
            begun = await one.begin()
            await one.wait_for(begun.id, State.READY)
            await one.migrations.cut_over(begun.id)
            await enrol_newcomers(one, 6)
            assert await missing(one) == 6
            with pytest.raises(CopyIncompleteError):
                await one.migrations.roll_back(begun.id)
            rolled_back = await one.migrations.roll_back(begun.id, allow_missing=True)
            assert rolled_back.state is State.READY
            assert await served(one) == (OLD, FACES)
            await looks(one)
            assert (await one.migrations.get(begun.id)).state is State.READY
            publish(world.repository, make_manifest(THIRD, OLD))
            await one.catalog.reload()

            async def all_are_served() -> bool:
                return await served(one) == (OLD, FACES + 6)

            await until(all_are_served)

    run(scenario)


def test_after_the_cut_over_the_old_copy_gets_what_a_route_leads_from(world: World) -> None:
    async def scenario() -> None:
        async with world.processes(patience_s=0.0) as (one,), one.working():
            begun = await one.begin()
            await one.wait_for(begun.id, State.READY)
            await one.migrations.cut_over(begun.id)
            await enrol_newcomers(one, 6)
            publish(world.repository, make_manifest(FOURTH, OLD))
            await one.catalog.reload()
            served = Rendition(NEW, unit_features(1, NEW.dim, seed=9), "x@1")
            await one.store.upsert(
                GALLERY, [Face("zulu", "zulu")], Rendition(FOURTH, unit_features(1, FOURTH.dim, seed=9)), (served,)
            )

            async def only_the_newcomers_are_missing() -> bool:
                return await missing(one) == 6

            await until(only_the_newcomers_are_missing)
            await looks(one)
            assert (await one.migrations.get(begun.id)).state is State.SERVING
            assert one.counted("failed") == 0

    run(scenario)
