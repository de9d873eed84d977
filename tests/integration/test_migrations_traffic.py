"""Migrations beside live traffic: what slows them down, and what the shadow drops."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from contract.vectors import Features
from service.app import create_app
from service.bounds import InFlight
from service.galleries.local import LocalGalleries
from service.galleries.values import Face, Found, Match, Rendition
from service.live_catalog import LiveCatalog
from service.metrics import create_metrics
from service.migration.record import State
from service.migration.record_keeping import counts_key
from service.migration.shadow import PROBES_MAX, QUEUE_MAX, Shadow
from service.migration.traffic import LIVE_S
from service.routes.parts import Parts
from service.translation import Translation
from tests.engines import ScriptedEngine
from tests.gateway import development_settings, running_app
from tests.integration.gallery_stores import unit_features
from tests.integration.migrations import FIRST, SECOND, begin, enrolled, look, wait_for, write_encoders
from tests.manifests import make_manifest, publish
from tests.unit.service.migration.migrations import NEW, OLD, migration

GALLERY = "gallery-0"


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    """A gateway with the echo engine."""
    write_encoders(tmp_path / "model_repository")
    return create_app(development_settings(tmp_path, migration_poll_s=0.05))


@pytest.fixture
def client(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of it."""
    with running_app(app) as url, httpx.Client(base_url=url, timeout=60) as http:
        yield http


def test_watching_a_migration_is_not_the_traffic_that_slows_it_down(app: FastAPI, client: httpx.Client) -> None:
    parts: Parts = app.state.parts
    client.get("/health/ready")
    client.get("/metrics")
    client.get("/models")
    client.get("/migrations")
    assert not parts.traffic.live
    enrolled(client, GALLERY, FIRST, 3)
    assert parts.traffic.live  # and for LIVE_S longer


def test_beside_live_traffic_a_migration_goes_on(app: FastAPI, client: httpx.Client) -> None:
    faces = enrolled(client, GALLERY, FIRST, 200)
    parts: Parts = app.state.parts
    body = {"source_model": FIRST.id, "gallery": GALLERY, "features": faces[:1].tolist()}
    client.post("/search", json=body)
    job = begin(client, GALLERY, SECOND)
    while look(client, job)["state"] != "ready":
        assert client.post("/search", json=body).status_code == 200
        assert parts.traffic.live, f"no traffic for {LIVE_S} s"
    wait_for(client, job, "ready")


FOUND = Found([[Match("face-000", "subject", 0.5)]], 1)


class Shadowed:
    """A shadow over a gallery of two full copies, with an engine that obeys."""

    def __init__(self, folder: Path, share: float, state: State = State.READY) -> None:
        publish(folder / "repository", make_manifest(OLD, NEW))
        self.metrics, self.engine = create_metrics(), ScriptedEngine()
        self.store = LocalGalleries.open(folder / "galleries", faces_max=100, galleries_max=2)
        self.catalog = LiveCatalog(folder / "repository", self.engine, self.metrics, retire_after_s=0)
        rows = InFlight(1000, "features", self.metrics.migration_rows_in_flight)
        translation = Translation(self.catalog, self.engine, rows, self.metrics)
        self.shadow = Shadow(
            self.store, translation, self.metrics, share, 60_000, chance=lambda: 0.0 if self.is_chosen else 0.5
        )
        self.migration = migration(state=state)
        self.is_chosen = False

    async def open(self) -> None:
        """Enrol two faces in both copies."""
        await self.catalog.reload()
        await self.store.create(GALLERY, OLD)
        await self.store.add_copy(GALLERY, NEW)
        faces = [Face(f"face-{row:03d}", "subject") for row in range(2)]
        new = Rendition(NEW, unit_features(2, NEW.dim), "x@1")
        await self.store.upsert(GALLERY, faces, Rendition(OLD, unit_features(2, OLD.dim)), [new])
        self.shadow.watch([self.migration])

    async def searched(self, times: int, probes: Features, model: str = OLD.id) -> None:
        """So many live searches."""
        info = await self.store.info(GALLERY)
        for _ in range(times):
            self.shadow.searched(model, info, probes, 2, Found(FOUND.matches * len(probes), 2))

    async def counted(self, searches: int) -> dict[str, int]:
        """Repeat what waits, until so many searches are in the store's counts."""
        task = asyncio.create_task(self.shadow.run())
        counts: dict[str, int] = {}
        try:
            async with asyncio.timeout(60):
                while counts.get("searches", 0) + counts.get("failed", 0) < searches:
                    await asyncio.sleep(0.01)
                    counts = dict(await self.store.tallied(counts_key(self.migration.id)))
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.store.close()
        return counts


def test_what_the_shadow_cannot_keep_up_with_is_dropped_and_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = Shadowed(tmp_path, share=1.0)
        await world.open()
        await world.searched(QUEUE_MAX + 3, unit_features(1, OLD.dim))
        counts = await world.counted(QUEUE_MAX)
        assert counts["searches"] == counts["probes"] == QUEUE_MAX
        assert counts["dropped"] == 3
        assert set(world.engine.batches) == {1}

    asyncio.run(scenario())


def test_of_a_wide_search_only_the_first_probes_are_repeated(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = Shadowed(tmp_path, share=1.0)
        await world.open()
        await world.searched(1, unit_features(PROBES_MAX + 5, OLD.dim))
        assert (await world.counted(1))["probes"] == PROBES_MAX

    asyncio.run(scenario())


def test_a_search_that_the_other_copy_cannot_answer_is_counted_as_failed(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = Shadowed(tmp_path, share=1.0)
        await world.open()
        await world.searched(2, unit_features(1, 5), model="nobody")
        assert (await world.counted(2))["failed"] == 2

    asyncio.run(scenario())


def test_searches_after_the_cut_over_are_repeated_in_the_old_copy(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = Shadowed(tmp_path, share=1.0, state=State.SERVING)
        await world.open()
        await world.store.serve(GALLERY, NEW)
        await world.searched(3, unit_features(1, OLD.dim))
        assert (await world.counted(3))["compared"] == 3

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("share", "state"), [(0.1, State.READY), (0.5, State.READY), (1.0, State.BACKFILLING), (1.0, State.FAILED)]
)
def test_searches_beyond_the_share_or_of_an_incomplete_copy_are_not_repeated(
    tmp_path: Path, share: float, state: State
) -> None:
    async def scenario() -> None:
        world = Shadowed(tmp_path, share, state)
        await world.open()
        await world.searched(5, unit_features(1, OLD.dim))
        world.migration = migration(state=State.READY)
        world.shadow.watch([world.migration])
        world.is_chosen = True  # this one is, and the five before it must not have been
        await world.searched(1, unit_features(1, OLD.dim))
        assert (await world.counted(1))["searches"] == 1

    asyncio.run(scenario())
