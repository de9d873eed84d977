"""Records of migrations with a real store: who begins, what a crash leaves behind, what is kept."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from service.errors import (
    CopyExistsError,
    UnknownMigrationError,
)
from service.migration.record import State
from service.migration.record_keeping import KEPT_MAX, Records, counts_key
from tests.integration.migration_processes import (
    FACES,
    GALLERY,
    Process,
    World,
    enrol,
    make_world,
    migrated_undisturbed,
    rows_of,
    run,
)
from tests.unit.service.migration.migrations import NEW, OLD, THIRD, migration


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world in which OLD leads to NEW."""
    return make_world(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """What an undisturbed migration makes of the gallery."""
    return migrated_undisturbed(tmp_path_factory.mktemp("undisturbed"))


def test_of_many_who_begin_at_once_one_begins(world: World) -> None:
    async def scenario() -> None:
        async with world.processes(4) as processes:
            begun = await asyncio.gather(*(process.begin() for process in processes), return_exceptions=True)
            refused = [answer for answer in begun if isinstance(answer, CopyExistsError)]
            assert len(refused) == 3
            assert len((await processes[0].migrations.all()).migrations) == 1

    run(scenario)


def test_a_record_whose_copy_was_not_added_yet_goes_on(world: World, undisturbed: dict[str, list[float]]) -> None:
    async def scenario() -> None:
        async with world.store() as store:
            await store.create(GALLERY, OLD)
            await enrol(store, FACES)
            (serving,) = (await store.info(GALLERY)).copies
            left = migration(gallery=GALLERY, state=State.BEGINNING, source_copy=serving.key, target_copy=None)
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
            assert (await one.migrations.active()).migrations == []
            assert (await one.migrations.all()).migrations == [cancelled]
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
                assert await records.move(one, one.at(State.CANCELLED))
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
            assert await records.move(one, one.at(State.READY))
            assert await records.move(one, one.at(State.FAILED, "late")) is None
            assert (await records.get(one.id)).state is State.READY

    run(scenario)


def test_a_record_that_nobody_can_read_stops_no_other(world: World) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,), one.working():
            assert await one.store.note("migrating:another", '{"id": "from a later version"}', None)
            await one.wait_for((await one.begin()).id, State.READY)

    run(scenario)
