"""Two gateways' workers on one store keep the job to its share while either of them serves clients."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contract.vectors import Features
from service.galleries.values import Face, Rendition
from service.migration.gateways import HEARD_S, TELL_S
from service.migration.pace import LIVE_FACES_MAX
from service.migration.record import State
from tests.integration.gallery_stores import unit_features
from tests.integration.migration_processes import BOUNDS, GALLERY, Process, make_world, run
from tests.unit.service.migration.gateways import Clock
from tests.unit.service.migration.migrations import OLD

FACES = 900
BATCH = 300
SHARE = 0.25
BATCH_S = 2.0  # of the engine, for any number of faces


@dataclass
class Pair:
    """Two gateways on one store and one clock, which only engines and rests move on; one has a worker that runs."""

    worker: Process
    other: Process
    clock: Clock

    async def let_pass(self, seconds: float) -> None:
        """Rest, and meanwhile let both tell what there is and hear what there was."""
        await self.clock.sleep(seconds)
        for process in (self.worker, self.other, self.worker):
            await process.gateways.tell()

    async def migrate(self) -> list[int]:
        """Migrate the gallery, begun so long ago that each has heard of the other; the batches that were translated."""
        begun = await self.worker.begin()
        planned = len(self.worker.engine.batches)
        self.worker.gateways.fill(has_work=True)
        for _ in range(1 + int(HEARD_S / TELL_S)):
            await self.let_pass(TELL_S)
        self.clock.rests.clear()
        async with self.worker.working():
            await self.worker.wait_for(begun.id, State.READY)
        return self.worker.engine.batches[planned:]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Pair]:
    """A pair with a gallery to migrate."""
    world, clock = make_world(folder), Clock()
    bounds = replace(BOUNDS, batch_faces=BATCH, batches_at_once=1)

    def work(echoed: Features) -> Features:
        clock.now += BATCH_S
        return echoed

    async def rest(seconds: float) -> None:
        await pair.let_pass(seconds)

    async with world.store() as store:
        await store.create(GALLERY, OLD)
        named = [Face(f"face-{row:03d}", f"subject-{row:03d}") for row in range(FACES)]
        await store.upsert(GALLERY, named, Rendition(OLD, unit_features(FACES, OLD.dim)))
        one, other = (Process(store, world.repository, bounds, share=SHARE, clock=clock, sleep=rest) for _ in range(2))
        pair = Pair(one, other, clock)
        for process in (one, other):
            await process.catalog.reload()
            process.engine.answer = work
        yield pair


@pytest.mark.parametrize(("other_fills", "share"), [(False, SHARE), (True, SHARE / 2)])
def test_beside_the_traffic_of_another_gateway_a_worker_keeps_to_its_part_of_the_share(
    tmp_path: Path, other_fills: bool, share: float
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as pair:
            pair.other.gateways.fill(has_work=other_fills)
            with pair.other.traffic.request():
                batches = await pair.migrate()
            assert sum(batches) == FACES
            assert max(batches) == LIVE_FACES_MAX
            worked_s, rested_s = BATCH_S * len(batches), sum(pair.clock.rests)
            assert worked_s / (worked_s + rested_s) == pytest.approx(share)

    run(scenario)


def test_beside_no_traffic_anywhere_workers_do_not_rest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as pair:
            pair.other.gateways.fill(has_work=True)
            assert await pair.migrate() == [BATCH] * (FACES // BATCH)
            assert pair.clock.rests == []

    run(scenario)


def test_a_worker_that_has_just_begun_is_careful_although_it_knows_of_no_traffic(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as pair:
            begun = await pair.worker.begin()
            planned = len(pair.worker.engine.batches)
            async with pair.worker.working():
                await pair.worker.wait_for(begun.id, State.READY)
            first, *_, last = pair.worker.engine.batches[planned:]
            assert first == LIVE_FACES_MAX
            assert last == (FACES - LIVE_FACES_MAX) % BATCH
            assert pair.clock.rests[-1] == pytest.approx(BATCH_S * (1 - SHARE) / SHARE)

    run(scenario)
