"""How the catalogue follows the repository and the engine."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.manifest import MANIFEST_FILE, MODEL_FILE
from contract.spaces import FeatureSpace
from service.errors import CatalogError, EngineFailedError, EngineUnavailableError
from service.live_catalog import LiveCatalog
from service.metrics import Metrics, create_metrics
from tests.engines import ScriptedEngine
from tests.repository import SOURCE, TARGET, write_translator

NAME = f"{SOURCE.id}--{TARGET.id}"
pytestmark = pytest.mark.anyio


class World:
    """A repository, an engine, a clock and the catalogue that watches them."""

    def __init__(self, repository: Path) -> None:
        repository.mkdir()
        self.repository = repository
        self.engine = ScriptedEngine()
        self.metrics: Metrics = create_metrics()
        self.now_s = 0.0
        self.catalog = LiveCatalog(repository, self.engine, self.metrics, retire_after_s=10, clock=lambda: self.now_s)

    def version(self) -> int | None:
        manifest = self.catalog.current.translators.get(NAME)
        return manifest.version if manifest else None

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def refused(self) -> list[tuple[int, str]]:
        return [(refusal.version, refusal.reason) for refusal in self.catalog.current.refusals]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "repository")


async def test_an_empty_repository_serves_nothing(world: World) -> None:
    await world.catalog.reload()
    assert world.version() is None


async def test_a_new_version_is_proven_before_it_serves_and_the_old_one_unloaded_after_its_requests(
    world: World,
) -> None:
    write_translator(world.repository)
    await world.catalog.reload()
    assert world.version() == 1
    write_translator(world.repository)
    await world.catalog.reload()
    assert (world.version(), world.engine.unloads) == (2, [])
    assert world.engine.loads == [(NAME, 1), (NAME, 2)]
    world.now_s = 9.9
    await world.catalog.reload()
    assert world.engine.unloads == []
    world.now_s = 10.0
    await world.catalog.reload()
    assert world.engine.unloads == [(NAME, 1)]
    assert world.metric("r3an_translator_version", translator=NAME) == 2


async def test_a_version_is_found_by_its_name_after_another_has_taken_its_place(world: World) -> None:
    assert await world.catalog.find(f"{NAME}@1") is None
    write_translator(world.repository)
    await world.catalog.reload()
    first = await world.catalog.find(f"{NAME}@1")
    assert first is world.catalog.current.translators[NAME]
    _truncate(write_translator(world.repository))
    write_translator(world.repository)
    await world.catalog.reload()
    assert (world.version(), world.engine.loads) == (3, [(NAME, 1), (NAME, 3)])
    assert await world.catalog.find(f"{NAME}@1") == first
    for unknown in (f"{NAME}@2", f"{NAME}@4", "nobody@1", "nonsense", f"{NAME}@"):
        assert await world.catalog.find(unknown) is None
    shutil.rmtree(world.repository / NAME / "1")
    await world.catalog.reload()
    assert await world.catalog.find(f"{NAME}@1") is None


async def test_an_unchanged_repository_is_left_alone(world: World) -> None:
    write_translator(world.repository)
    await world.catalog.reload()
    served = world.catalog.current
    await world.catalog.reload()
    assert world.catalog.current is served
    assert world.engine.loads == [(NAME, 1)]


def _truncate(version_dir: Path) -> None:
    (version_dir / MODEL_FILE).write_bytes(b"")


def _lose_manifest(version_dir: Path) -> None:
    (version_dir / MANIFEST_FILE).unlink()


@pytest.mark.parametrize("spoil", [_truncate, _lose_manifest])
async def test_a_version_whose_files_disagree_is_refused_and_the_old_one_serves(
    world: World, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    write_translator(world.repository)
    spoil(write_translator(world.repository))
    with caplog.at_level(logging.ERROR):
        await world.catalog.reload()
    assert world.version() == 1
    assert [version for version, _ in world.refused()] == [2]
    assert world.engine.loads == [(NAME, 1)]
    assert f"refused {NAME}/2" in caplog.text
    assert world.metric("r3an_refused_versions_total") == 1


async def test_a_translator_without_any_valid_version_is_not_served(world: World) -> None:
    _truncate(write_translator(world.repository))
    await world.catalog.reload()
    assert world.version() is None
    assert [version for version, _ in world.refused()] == [1]


async def test_a_version_that_the_engine_cannot_prove_is_refused_once_and_counted_once(world: World) -> None:
    world.engine.load_errors[2] = EngineFailedError("broken")
    write_translator(world.repository)
    write_translator(world.repository)
    for _ in range(3):
        await world.catalog.reload()
    assert world.version() == 1
    assert world.refused() == [(2, "EngineFailedError: broken")]
    assert world.metric("r3an_refused_versions_total") == 1
    write_translator(world.repository)
    await world.catalog.reload()
    assert (world.version(), world.refused()) == (3, [])


async def test_a_serving_version_whose_files_break_keeps_serving_what_was_verified(world: World) -> None:
    version_dir = write_translator(world.repository)
    await world.catalog.reload()
    _truncate(version_dir)
    await world.catalog.reload()
    assert world.version() == 1
    assert [version for version, _ in world.refused()] == [1]


async def test_an_engine_that_is_away_is_asked_again_and_the_route_is_known_meanwhile(world: World) -> None:
    world.engine.load_errors[1] = EngineUnavailableError("away")
    write_translator(world.repository)
    await world.catalog.reload()
    assert world.catalog.current.route(SOURCE.id, None).version == 1
    assert world.refused() == []
    world.engine.load_errors.clear()
    await world.catalog.reload()
    await world.catalog.reload()
    assert world.engine.loads == [(NAME, 1), (NAME, 1)]


async def test_a_version_that_cannot_be_proven_yet_does_not_replace_one_that_serves(world: World) -> None:
    write_translator(world.repository)
    await world.catalog.reload()
    world.engine.load_errors[2] = EngineUnavailableError("away")
    write_translator(world.repository)
    await world.catalog.reload()
    assert world.version() == 1
    world.engine.load_errors.clear()
    await world.catalog.reload()
    assert world.version() == 2


async def test_an_engine_that_forgot_its_versions_gets_them_again(world: World) -> None:
    write_translator(world.repository)
    await world.catalog.reload()
    world.engine.is_ready = False
    await world.catalog.reload()
    assert world.engine.loads == [(NAME, 1), (NAME, 1)]


async def test_a_removed_translator_is_no_longer_served(world: World) -> None:
    write_translator(world.repository)
    await world.catalog.reload()
    shutil.rmtree(world.repository / NAME)
    await world.catalog.reload()
    assert world.version() is None
    assert world.metric("r3an_translator_version", translator=NAME) is None
    world.now_s = 10.0
    await world.catalog.reload()
    assert world.engine.unloads == [(NAME, 1)]


async def test_a_version_that_came_back_in_time_is_not_unloaded(world: World) -> None:
    write_translator(world.repository)
    await world.catalog.reload()
    shutil.move(world.repository / NAME, world.repository / ".away")
    await world.catalog.reload()
    shutil.move(world.repository / ".away", world.repository / NAME)
    await world.catalog.reload()
    world.now_s = 10.0
    await world.catalog.reload()
    assert (world.version(), world.engine.unloads) == (1, [])


async def test_an_unload_that_fails_is_tried_again(world: World) -> None:
    write_translator(world.repository)
    await world.catalog.reload()
    write_translator(world.repository)
    await world.catalog.reload()
    world.now_s, world.engine.error = 10.0, EngineUnavailableError("away")
    await world.catalog.reload()
    assert world.engine.unloads == []
    world.engine.error = None
    await world.catalog.reload()
    assert world.engine.unloads == [(NAME, 1)]


async def test_what_contradicts_is_refused_once_and_keeps_nothing_else_out(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    write_translator(world.repository)
    await world.catalog.reload()
    other = FeatureSpace(id=TARGET.id, dim=TARGET.dim + 1)
    write_translator(world.repository, FeatureSpace(id="another", dim=4), other)
    write_translator(world.repository)
    with caplog.at_level(logging.ERROR):
        await world.catalog.reload()
        await world.catalog.reload()
    assert world.version() == 2
    assert world.refused() == [(1, f"{TARGET.id} has 17 and 16 dimensions")]
    assert caplog.text.count("17 and 16 dimensions") == 1
    world.now_s = 10.0
    await world.catalog.reload()
    assert sorted(world.engine.unloads) == [(f"another--{TARGET.id}", 1), (NAME, 1)]


async def test_a_version_that_contradicts_another_translator_leaves_the_one_before_it(
    world: World, tmp_path: Path
) -> None:
    third = FeatureSpace(id="third-8", dim=8)
    write_translator(world.repository)
    write_translator(world.repository, third, TARGET)
    await world.catalog.reload()
    wider = FeatureSpace(id=TARGET.id, dim=TARGET.dim + 1)
    # An export would refuse it beside the others.
    elsewhere = write_translator(tmp_path / "elsewhere", SOURCE, wider, version=2)
    elsewhere.rename(world.repository / NAME / "2")
    await world.catalog.reload()
    assert world.version() == 1
    assert world.refused() == [(2, f"{TARGET.id} has 17 and 16 dimensions")]
    assert set(world.catalog.current.translators) == {NAME, f"third-8--{TARGET.id}"}


async def test_a_version_that_is_replaced_while_it_serves_is_refused_and_serves_on(world: World) -> None:
    version_dir = write_translator(world.repository)
    await world.catalog.reload()
    served = world.catalog.current.translators[NAME]
    shutil.rmtree(version_dir)
    write_translator(world.repository, seed=1, version=1)
    await world.catalog.reload()
    assert world.catalog.current.translators[NAME] == served
    assert world.refused() == [(1, "replaced while it serves; publish the next version")]
    assert world.engine.loads == [(NAME, 1)]


async def test_contradictions_that_come_later_keep_nothing_else_out_of_an_empty_catalogue(world: World) -> None:
    await world.catalog.reload()
    write_translator(world.repository, FeatureSpace(id="another", dim=4), FeatureSpace(id=TARGET.id, dim=17))
    write_translator(world.repository)
    write_translator(world.repository, FeatureSpace(id="good", dim=4), FeatureSpace(id="other", dim=4))
    await world.catalog.reload()
    assert set(world.catalog.current.translators) == {f"another--{TARGET.id}", "good--other"}
    assert world.refused() == [(1, f"{TARGET.id} has 17 and 16 dimensions")]


async def test_contradictions_from_the_start_are_no_catalogue(world: World) -> None:
    write_translator(world.repository)
    write_translator(world.repository, FeatureSpace(id="another", dim=4), FeatureSpace(id=TARGET.id, dim=17))
    with pytest.raises(CatalogError, match="17 and 16 dimensions"):
        await world.catalog.reload()
    assert world.metric("r3an_catalog_reloads_total", outcome="refused") == 1


async def test_a_repository_that_vanishes_leaves_the_catalogue_as_it_was(world: World) -> None:
    write_translator(world.repository)
    await world.catalog.reload()
    shutil.rmtree(world.repository)
    with pytest.raises(CatalogError):
        await world.catalog.reload()
    assert world.version() == 1
