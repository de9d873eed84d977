"""A process leaves alone what it has no route for, and loses patience only while nobody gets on with it."""

from pathlib import Path

import numpy as np
import pytest

from contract.spaces import FeatureSpace
from service.catalog import Catalog
from service.galleries.values import Face, Original
from service.live_catalog import LiveCatalog
from service.metrics import create_metrics
from service.migration.record import Migration, OriginPlan, State
from service.migration.routeless import REST_S, Routeless, Work
from tests.engines import ScriptedEngine
from tests.manifests import make_manifest
from tests.unit.service.migration.migrations import NEW, OLD, PLAN, THIRD, migration

PATIENCE_S = 300.0
PLANNED = PLAN.model_copy(update={"origins": (OriginPlan(model=OLD.id, faces=9), OriginPlan(model=NEW.id, faces=1))})
HAS_ROUTE = Catalog.of([make_manifest(OLD, NEW)])
LAGS = Catalog.of([make_manifest(OLD, THIRD)])


class World:
    """A process with a catalogue and a clock that stands still."""

    def __init__(self, folder: Path) -> None:
        self.now = 100.0
        self.catalog = LiveCatalog(folder, ScriptedEngine(), create_metrics(), retire_after_s=0)
        self.catalog.current = LAGS
        self.routeless = Routeless(self.catalog, PATIENCE_S, lambda: self.now)

    def look(self, missing: int, one: Migration | None = None, space: FeatureSpace = NEW) -> str:
        """What is to be done with a copy that lacks so many faces."""
        work = Work(one or migration(plan=PLANNED), space, missing)
        todo, hopeless = self.routeless.sort([work])
        assert [*todo, *hopeless] in ([], [work])
        return "work" if todo else "give up" if hopeless else "leave"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A process whose catalogue lags behind."""
    return World(tmp_path)


def originals(*spaces: FeatureSpace) -> list[Original]:
    return [Original(Face(f"f{i}", "s"), s, np.ones(s.dim, np.float32), i) for i, s in enumerate(spaces)]


def test_a_process_works_once_it_has_every_planned_route(world: World) -> None:
    assert world.look(10) == "leave"
    world.catalog.current = HAS_ROUTE
    assert world.look(10) == "work"
    world.catalog.current = LAGS
    world.now += PATIENCE_S  # of which it had the route
    assert world.look(10) == "leave"


def test_patience_ends_after_a_while_without_a_face_filled_by_anybody(world: World) -> None:
    assert world.look(10) == "leave"
    world.now += PATIENCE_S - 1
    assert world.look(9) == "leave"
    world.now += PATIENCE_S - 1
    assert world.look(12) == "leave"  # enrolled faces are no reason to wait longer
    world.now += 1
    assert world.look(12) == "give up"


def test_a_migration_that_was_resumed_is_given_as_long_again(world: World) -> None:
    assert world.look(10) == "leave"
    world.now += PATIENCE_S
    assert world.look(10) == "give up"
    resumed = migration(plan=PLANNED).model_copy(update={"changed_at": migration(1).changed_at})
    assert world.look(10, resumed) == "leave"


def test_faces_without_a_route_are_walked_past_and_then_rest(world: World) -> None:
    world.catalog.current = HAS_ROUTE
    work = Work(migration(plan=PLANNED), NEW, 4)
    assert world.look(4) == "work"
    claim = originals(OLD, THIRD, NEW)
    assert world.routeless.known(work, claim) == (claim[0], claim[2])
    assert world.look(4) == "work"
    world.routeless.rest(work)
    assert world.look(2) == "leave"
    world.now += REST_S
    assert world.look(2) == "work"
    world.routeless.rest(work)
    world.catalog.current = Catalog.of([make_manifest(OLD, NEW), make_manifest(THIRD, NEW)])
    assert world.look(2) == "work"


def test_a_planned_route_that_is_withdrawn_later_is_waited_for_too(world: World) -> None:
    world.catalog.current = HAS_ROUTE
    work = Work(migration(plan=PLANNED), NEW, 4)
    world.routeless.known(work, originals(THIRD))
    world.catalog.current = LAGS
    assert world.look(4) == "leave"
    world.catalog.current = HAS_ROUTE
    assert world.look(4) == "work"


def test_nothing_fails_for_a_copy_that_the_migration_does_not_wait_for(world: World) -> None:
    serving = migration(plan=PLANNED, state=State.SERVING)
    work = Work(serving, OLD, 3)
    assert world.look(3, serving, OLD) == "work"
    assert world.routeless.known(work, originals(NEW)) == ()
    world.routeless.rest(work)
    assert world.look(3, serving, OLD) == "leave"
    world.now += 10 * PATIENCE_S
    assert world.look(3, serving, OLD) == "work"
