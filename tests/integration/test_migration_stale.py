"""A process that was held up goes on with what it knew before: it harms no migration that has begun since."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from service.galleries.base import GalleryStore
from service.migration.record import State
from tests.integration.migration_processes import GALLERY, Process, World, make_world, run, soon
from tests.manifests import make_manifest, publish
from tests.unit.service.migration.migrations import NEW, OLD, THIRD


class HeldUp:
    """A store whose call of one method is held up, before it is made, until it is let go."""

    def __init__(self, store: GalleryStore, method: str, call: int = 1) -> None:
        self._store, self._method, self._call, self._calls = store, method, call, 0
        self.there, self.let_go = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> object:
        found = getattr(self._store, name)
        return self._hold_up if name == self._method else found

    async def _hold_up(self, *args: Any, **named: Any) -> object:  # noqa: ANN401 - whatever the method takes
        self._calls += 1
        if self._calls == self._call:
            self.there.set()
            await self.let_go.wait()
        return await getattr(self._store, self._method)(*args, **named)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world in which OLD leads to NEW and to THIRD, and NEW back to OLD."""
    made = make_world(tmp_path)
    publish(made.repository, make_manifest(OLD, THIRD))
    publish(made.repository, make_manifest(NEW, OLD))
    return made


async def slow_process(of: Process, store: HeldUp) -> Process:
    """Another process over the same store."""
    process = Process(cast(GalleryStore, store), of.repository)
    await process.catalog.reload()
    return process


async def copies(process: Process) -> list[str]:
    """The spaces of the gallery's copies."""
    return [copy.space.id for copy in (await process.store.info(GALLERY)).copies]


async def begin_ready(process: Process, target: str) -> str:
    """Begin a migration and complete its copy; returns its id."""
    begun = await process.begin(target)
    async with process.working():
        await process.wait_for(begun.id, State.READY)
    return begun.id


# `begin` looks at the gallery for the plan, for its record and to add the copy; a copy left by a crash is dropped.
@pytest.mark.parametrize(("method", "call"), [("info", 3), ("drop_copy", 1), ("add_copy", 1), ("info", 4)])
def test_who_was_held_up_in_beginning_leaves_a_later_migration_alone(world: World, method: str, call: int) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,):
            await one.store.add_copy(GALLERY, THIRD)
            held_up = HeldUp(one.store, method, call)
            slow = await slow_process(one, held_up)
            beginning = asyncio.create_task(slow.begin())
            await held_up.there.wait()
            (first,) = (await one.migrations.active()).migrations
            assert (await one.migrations.cancel(first.id)).state is State.CANCELLED
            later = await begin_ready(one, THIRD.id)
            held_up.let_go.set()
            assert (await beginning).state is State.CANCELLED
            assert (await one.migrations.get(later)).state is State.READY
            assert await copies(one) == [OLD.id, THIRD.id]
            assert (await one.migrations.cut_over(later)).state is State.SERVING

    run(scenario)


def test_who_was_held_up_in_cancelling_leaves_a_later_migration_alone(world: World) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,):
            first = await one.begin()
            held_up = HeldUp(one.store, "drop_copy")
            slow = await slow_process(one, held_up)
            cancelling = asyncio.create_task(slow.migrations.cancel(first.id))
            await held_up.there.wait()
            assert (await one.migrations.cancel(first.id)).state is State.CANCELLED
            later = await begin_ready(one, NEW.id)
            held_up.let_go.set()
            assert (await cancelling).state is State.CANCELLED
            assert (await one.migrations.get(later)).state is State.READY
            assert await copies(one) == [OLD.id, NEW.id]

    run(scenario)


@pytest.mark.parametrize(("step", "method"), [("complete", "drop_copy"), ("roll_back", "serve")])
def test_who_was_held_up_after_the_cut_over_leaves_a_later_migration_alone(
    world: World, step: str, method: str
) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,):
            first = await begin_ready(one, NEW.id)
            await one.migrations.cut_over(first)
            held_up = HeldUp(one.store, method)
            slow = await slow_process(one, held_up)
            allowing = {"allow_missing": True} if step == "roll_back" else {}
            late = asyncio.create_task(getattr(slow.migrations, step)(first, **allowing))
            await held_up.there.wait()
            assert (await one.migrations.complete(first)).state is State.COMPLETED
            later = (await one.migrations.begin(GALLERY, OLD.id, soon())).id
            async with one.working():
                await one.wait_for(later, State.READY)
            held_up.let_go.set()
            await asyncio.wait([late])
            assert (await one.migrations.get(first)).state is State.COMPLETED
            assert (await one.migrations.get(later)).state is State.READY
            assert await copies(one) == [NEW.id, OLD.id]

    run(scenario)


@pytest.mark.parametrize("space", [OLD, NEW, THIRD])
def test_a_gallery_that_was_deleted_and_made_anew_ends_its_migration(world: World, space: Any) -> None:  # noqa: ANN401
    async def scenario() -> None:
        async with world.processes() as (one,):
            ready = await begin_ready(one, NEW.id)
            await one.store.drop(GALLERY)
            await one.store.create(GALLERY, space)
            ended = await one.migrations.get(ready)
            assert (ended.state, ended.reason) == (State.CANCELLED, "gallery-deleted")
            assert await copies(one) == [space.id]

    run(scenario)


def test_a_copy_that_was_dropped_and_begun_anew_ends_its_migration(world: World) -> None:
    async def scenario() -> None:
        async with world.processes() as (one,):
            begun = await one.begin()
            await one.store.drop_copy(GALLERY, NEW)
            await one.store.add_copy(GALLERY, NEW)
            assert (await one.migrations.get(begun.id)).state is State.CANCELLED

    run(scenario)
