"""The Triton engine against a real Triton: versions come and go, and its failures are told apart."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from contract.manifest import CONFIG_FILE, MODEL_FILE, ONNX_FILE, Parity, TranslatorManifest, read_manifest
from deploy.triton.start import TritonServer
from service.engines.triton import TritonEngine
from service.engines.triton_config import config_for
from service.errors import (
    EngineError,
    EngineFailedError,
    EngineOverloadedError,
    EngineTimeoutError,
    EngineUnavailableError,
)
from tests.integration.stack import eager, random_features, shorten_queue
from tests.repository import SOURCE, TARGET, RandomLinear, write_translator

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("one_event_loop")]
TIMEOUT_MS = 60_000
RECONNECTS_MAX = 600


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that these tests add to, each under names of its own."""
    return tmp_path_factory.mktemp("translators")


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[TritonServer]:
    """A Triton of our own, with nothing loaded."""
    with TritonServer(repository, models=[]) as server:
        yield server
        server.kill()  # with versions that failed to load, a Triton takes half a minute to leave


@pytest.fixture
async def engine(server: TritonServer, repository: Path) -> AsyncIterator[TritonEngine]:
    engine = await TritonEngine.open(server.grpc_address, repository)
    yield engine
    await engine.close()


def publish(repository: Path, name: str, seed: int = 0) -> tuple[TranslatorManifest, Path]:
    """One more version of a translator whose source space is `name`."""
    version_dir = write_translator(repository, SOURCE.model_copy(update={"id": name}), seed=seed)
    return read_manifest(version_dir), version_dir


async def test_versions_serve_side_by_side_and_go_with_the_last_one(
    engine: TritonEngine, server: TritonServer, repository: Path
) -> None:
    assert not await engine.ready()
    old, _ = publish(repository, "side-by-side")
    with pytest.raises(EngineUnavailableError):
        await engine.translate(old, random_features(1), TIMEOUT_MS)
    await engine.load(old)
    new, _ = publish(repository, "side-by-side", seed=1)
    await engine.load(new)
    features = random_features(7)
    for manifest, seed in ((old, 0), (new, 1)):
        expected = eager(features, RandomLinear(SOURCE.dim, TARGET.dim, seed=seed))
        np.testing.assert_allclose(await engine.translate(manifest, features, TIMEOUT_MS), expected, atol=1e-4)
    assert await engine.ready()
    await engine.unload(old.id, old.version)
    await engine.translate(new, features, TIMEOUT_MS)
    await engine.unload(new.id, new.version)
    with pytest.raises(EngineUnavailableError):
        await engine.translate(new, features, TIMEOUT_MS)


def spoil(version_dir: Path) -> None:
    for file in (MODEL_FILE, ONNX_FILE):
        (version_dir / file).write_bytes(b"no model")


async def test_broken_versions_keep_neither_the_old_nor_a_later_one_out(engine: TritonEngine, repository: Path) -> None:
    first, first_dir = publish(repository, "broken-between")
    await engine.load(first)
    second, second_dir = publish(repository, "broken-between")
    spoil(second_dir)
    with pytest.raises(EngineFailedError):
        await engine.load(second)
    await engine.translate(first, random_features(1), TIMEOUT_MS)
    spoil(first_dir)
    third, _ = publish(repository, "broken-between", seed=2)
    await engine.load(third)
    expected = eager(random_features(2), RandomLinear(SOURCE.dim, TARGET.dim, seed=2))
    np.testing.assert_allclose(await engine.translate(third, random_features(2), TIMEOUT_MS), expected, atol=1e-4)


async def test_a_version_of_other_dimensions_than_its_manifest_is_refused(
    engine: TritonEngine, repository: Path
) -> None:
    manifest, _ = publish(repository, "other-dimensions")
    wrong = manifest.model_copy(update={"target": TARGET.model_copy(update={"dim": TARGET.dim + 1})})
    with pytest.raises(EngineFailedError, match="shape"):
        await engine.load(wrong)


async def test_what_triton_refuses_is_a_failure_without_its_words(engine: TritonEngine, repository: Path) -> None:
    manifest, _ = publish(repository, "refused")
    await engine.load(manifest)
    for features in (random_features(1, dim=SOURCE.dim + 1), random_features(513)):
        with pytest.raises(EngineFailedError, match=r"^the engine answered with an error$"):
            await engine.translate(manifest, features, TIMEOUT_MS)


async def test_a_full_queue_and_a_passed_deadline_are_told_apart(engine: TritonEngine, repository: Path) -> None:
    manifest, version_dir = publish(repository, "crowded")
    config = version_dir.parent / CONFIG_FILE
    shorten_queue(config)
    await engine.load(manifest)
    crowd = (engine.translate(manifest, random_features(512), TIMEOUT_MS) for _ in range(64))
    *answers, ready = await asyncio.gather(*crowd, engine.ready(), return_exceptions=True)
    assert ready, "a full queue is a sign of life"
    refused = [answer for answer in answers if isinstance(answer, EngineOverloadedError)]
    assert refused, "no request met the full queue"
    assert all(isinstance(answer, np.ndarray | EngineOverloadedError) for answer in answers)
    assert {error.retry_after_s for error in refused} == {1}
    late = (engine.translate(manifest, random_features(512), 1) for _ in range(16))
    outcomes = await asyncio.gather(*late, return_exceptions=True)
    assert any(isinstance(outcome, EngineTimeoutError) for outcome in outcomes)


async def test_a_full_queue_is_no_proof(engine: TritonEngine, server: TritonServer, repository: Path) -> None:
    manifest, version_dir = publish(repository, "too-busy-to-tell")
    config = version_dir.parent / CONFIG_FILE
    shorten_queue(config)
    await engine.load(manifest)
    others = Parity(max_abs_difference=0.0, proof=(0.5,) * TARGET.dim)
    newcomer = await TritonEngine.open(server.grpc_address, repository)
    for _ in range(5):
        crowd = (engine.translate(manifest, random_features(512), TIMEOUT_MS) for _ in range(64))
        load = newcomer.load(manifest.model_copy(update={"parity": others}))
        *_, outcome = await asyncio.gather(*crowd, load, return_exceptions=True)
        assert isinstance(outcome, EngineError), "weights were taken for others"
    await newcomer.close()


async def test_a_killed_triton_is_unavailable_and_gets_its_versions_back(repository: Path) -> None:
    manifest, _ = publish(repository, "killed")
    with TritonServer(repository, models=[]) as server:
        engine = await TritonEngine.open(server.grpc_address, repository)
        await engine.load(manifest)
        server.kill()
        with pytest.raises(EngineUnavailableError):
            await engine.translate(manifest, random_features(1), TIMEOUT_MS)
        assert not await engine.ready()
        with pytest.raises(EngineUnavailableError):
            await engine.unload(manifest.id, manifest.version)
        await asyncio.to_thread(server.start)
        for _ in range(RECONNECTS_MAX):
            if await loads(engine, manifest):
                break
            await asyncio.sleep(0.1)
        assert await engine.ready()
        await engine.close()
        await engine.close()


async def loads(engine: TritonEngine, manifest: TranslatorManifest) -> bool:
    try:
        await engine.load(manifest)
    except EngineUnavailableError:
        return False
    return True


async def test_a_version_that_triton_serves_already_is_not_loaded_again(
    engine: TritonEngine, server: TritonServer, repository: Path
) -> None:
    manifest, _ = publish(repository, "already")
    await asyncio.to_thread(server.load, manifest.id)
    (repository / manifest.id / CONFIG_FILE).unlink()  # a load would miss it
    await engine.load(manifest)
    assert (await engine.translate(manifest, random_features(1), TIMEOUT_MS)).shape == (1, TARGET.dim)


async def test_weights_that_triton_loaded_before_they_were_replaced_do_not_serve(
    engine: TritonEngine, server: TritonServer, repository: Path
) -> None:
    _, version_dir = publish(repository, "stale")
    await asyncio.to_thread(server.load, version_dir.parent.name)
    shutil.rmtree(version_dir)
    replaced, _ = publish(repository, "stale", seed=1)
    await engine.load(replaced)
    expected = eager(random_features(2), RandomLinear(SOURCE.dim, TARGET.dim, seed=1))
    np.testing.assert_allclose(await engine.translate(replaced, random_features(2), TIMEOUT_MS), expected, atol=1e-4)


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), ("surprise: 1", "no model configuration")])
async def test_a_configuration_that_cannot_be_read_is_a_failure(
    engine: TritonEngine, repository: Path, content: str | None, reason: str
) -> None:
    manifest, version_dir = publish(repository, f"configured-{content is None}".lower())
    config = version_dir.parent / CONFIG_FILE
    config.unlink() if content is None else config.write_text(content)
    with pytest.raises(EngineFailedError, match=reason):
        await engine.load(manifest)


def test_the_configuration_is_the_files_but_for_the_versions(repository: Path) -> None:
    _, version_dir = publish(repository, "configuration")
    config = config_for(version_dir.parent, [3, 1])
    assert '"version_policy": {"specific": {"versions": ["1", "3"]}}' in config
    assert '"max_batch_size": 512' in config
