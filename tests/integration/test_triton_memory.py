"""Calls in memory shared with a real Triton: the same answers, and never another call's."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc.aio as client_module

from contract.manifest import CONFIG_FILE, Parity, TranslatorManifest, read_manifest
from contract.vectors import Features
from deploy.triton.start import TritonServer
from service.engines import triton_memory
from service.engines.triton import TritonEngine
from service.engines.triton_memory import FOLDER, SLOT_BYTES, SLOTS, Slot, TritonMemory
from service.errors import EngineFailedError, EngineOverloadedError, EngineTimeoutError, EngineUnavailableError
from tests.integration.stack import eager, random_features, shorten_queue
from tests.repository import SOURCE, TARGET, RandomLinear, write_translator

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("one_event_loop")]
TIMEOUT_MS = 60_000
RECONNECTS_MAX = 600
ANSWERS_MAX = 3000  # hundredths of a second


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("translators")


@pytest.fixture(scope="module")
def manifest(repository: Path) -> TranslatorManifest:
    return read_manifest(write_translator(repository, SOURCE))


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[TritonServer]:
    with TritonServer(repository, models=[]) as server:
        yield server


@pytest.fixture
async def engine(server: TritonServer, repository: Path, manifest: TranslatorManifest) -> AsyncIterator[TritonEngine]:
    engine = await TritonEngine.open(server.grpc_address, repository)
    await engine.load(manifest)
    yield engine
    await engine.close()


@pytest.fixture
def crossings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the rows of each call that crosses in shared memory."""
    rows = list[int]()
    take = TritonMemory.take

    def noted(memory: TritonMemory, features: Features, target_dim: int, tensor: str) -> Slot | None:
        if (slot := take(memory, features, target_dim, tensor)) is not None:
            rows.append(len(features))
        return slot

    monkeypatch.setattr(TritonMemory, "take", noted)
    return rows


async def until_idle(engine: TritonEngine) -> None:
    """Return when Triton has answered every call in shared memory."""
    for _ in range(ANSWERS_MAX):
        if engine._memory is not None and engine._memory.is_idle:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("a slot was not given back")


def wide(seed: int = 0) -> Features:
    """As many features as a call may have."""
    return random_features(512, seed=seed)


def expected(features: Features) -> Features:
    return eager(features, RandomLinear(SOURCE.dim, TARGET.dim, seed=0))


async def regions(server: TritonServer) -> set[str]:
    client = client_module.InferenceServerClient(server.grpc_address)
    status = await client.get_system_shared_memory_status(as_json=True)
    await client.close()
    return set(status.get("regions", {}))


async def test_wide_calls_at_once_cross_in_memory_and_each_gets_its_own_answer(
    engine: TritonEngine, manifest: TranslatorManifest, crossings: list[int]
) -> None:
    requests = [wide(seed) for seed in range(3 * SLOTS)]
    answers = await asyncio.gather(*(engine.translate(manifest, features, TIMEOUT_MS) for features in requests))
    assert SLOTS <= len(crossings) <= len(requests)
    for features, answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer, expected(features), atol=1e-4)


async def test_a_narrow_call_goes_by_message(
    engine: TritonEngine, manifest: TranslatorManifest, crossings: list[int]
) -> None:
    features = random_features(1)
    np.testing.assert_allclose(await engine.translate(manifest, features, TIMEOUT_MS), expected(features), atol=1e-4)
    assert crossings == []


async def test_the_memory_has_no_name_once_it_is_shared_and_is_unregistered_at_the_end(
    server: TritonServer, repository: Path, manifest: TranslatorManifest
) -> None:
    before = await regions(server)
    engine = await TritonEngine.open(server.grpc_address, repository)
    await engine.load(manifest)
    (name,) = await regions(server) - before
    assert not (FOLDER / name).exists()
    await engine.close()
    assert name not in await regions(server)


async def test_a_triton_that_cannot_map_the_memory_is_asked_by_message(
    server: TritonServer,
    repository: Path,
    manifest: TranslatorManifest,
    crossings: list[int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(triton_memory, "FOLDER", tmp_path)  # as on another host: Triton looks where nothing is
    engine = await TritonEngine.open(server.grpc_address, repository)
    await engine.load(manifest)
    np.testing.assert_allclose(await engine.translate(manifest, wide(), TIMEOUT_MS), expected(wide()), atol=1e-4)
    assert crossings == []
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a path of pathlib would block the loop
    await engine.close()


async def test_a_slot_whose_call_was_given_up_is_used_again_when_triton_has_answered(
    engine: TritonEngine, server: TritonServer, manifest: TranslatorManifest, crossings: list[int]
) -> None:
    before = await regions(server)
    for seed in range(5 * SLOTS):
        call = asyncio.create_task(engine.translate(manifest, wide(seed), TIMEOUT_MS))
        await asyncio.sleep(0)  # it takes a slot, if there is one, and asks
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        np.testing.assert_allclose(
            await engine.translate(manifest, wide(99), TIMEOUT_MS), expected(wide(99)), atol=1e-4
        )
    await until_idle(engine)
    crossings.clear()
    await engine.translate(manifest, wide(), TIMEOUT_MS)
    assert crossings == [len(wide())]
    assert await regions(server) == before


async def test_a_call_whose_deadline_passes_gives_its_slot_back_in_the_end(
    engine: TritonEngine, manifest: TranslatorManifest
) -> None:
    late = (engine.translate(manifest, wide(), 1) for _ in range(4 * SLOTS))
    outcomes = await asyncio.gather(*late, return_exceptions=True)
    assert any(isinstance(outcome, EngineTimeoutError) for outcome in outcomes)
    await until_idle(engine)


async def test_many_looks_at_a_busy_engine_share_no_further_memory(
    engine: TritonEngine, server: TritonServer, manifest: TranslatorManifest
) -> None:
    before = await regions(server)
    for _ in range(5):
        crowd = (engine.translate(manifest, wide(), TIMEOUT_MS) for _ in range(2 * SLOTS))
        await asyncio.gather(*crowd, engine.ready())
    assert await regions(server) == before


async def test_nothing_of_a_call_stays_in_the_memory(engine: TritonEngine, manifest: TranslatorManifest) -> None:
    await engine.translate(manifest, wide(), TIMEOUT_MS)
    assert engine._memory is not None
    assert not np.frombuffer(engine._memory._region, np.uint8).any()


async def test_without_room_for_it_no_memory_is_shared(
    server: TritonServer, repository: Path, manifest: TranslatorManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    engine = await TritonEngine.open(server.grpc_address, repository)
    await engine.load(manifest)
    np.testing.assert_allclose(await engine.translate(manifest, wide(), TIMEOUT_MS), expected(wide()), atol=1e-4)
    assert engine._memory is None
    await engine.close()


async def test_a_call_that_triton_refuses_gives_its_slot_back(
    engine: TritonEngine, repository: Path, crossings: list[int]
) -> None:
    version_dir = write_translator(repository, SOURCE.model_copy(update={"id": "crowded"}))
    config = version_dir.parent / CONFIG_FILE
    shorten_queue(config)
    manifest = read_manifest(version_dir)
    await engine.load(manifest)
    refused = 0
    while refused < 2 * SLOTS:
        crowd = (engine.translate(manifest, wide(), TIMEOUT_MS) for _ in range(SLOTS))
        outcomes = await asyncio.gather(*crowd, return_exceptions=True)
        assert all(isinstance(outcome, np.ndarray | EngineOverloadedError) for outcome in outcomes)
        refused += sum(isinstance(outcome, EngineOverloadedError) for outcome in outcomes)
    await until_idle(engine)
    crossings.clear()
    await engine.translate(manifest, wide(), TIMEOUT_MS)
    assert crossings == [len(wide())]


async def test_weights_that_answer_otherwise_are_no_more_believed_in_memory(
    server: TritonServer, repository: Path, manifest: TranslatorManifest
) -> None:
    newcomer = await TritonEngine.open(server.grpc_address, repository)
    others = Parity(max_abs_difference=0.0, proof=(0.5,) * TARGET.dim)
    with pytest.raises(EngineFailedError):
        await newcomer.load(manifest.model_copy(update={"parity": others}))
    await newcomer.close()


async def test_after_a_restart_of_triton_calls_go_by_message_until_memory_is_shared_again(
    repository: Path, manifest: TranslatorManifest, crossings: list[int]
) -> None:
    with TritonServer(repository, models=[manifest.id]) as server:
        engine = await TritonEngine.open(server.grpc_address, repository)
        await engine.load(manifest)
        server.kill()
        await asyncio.to_thread(server.start)
        for _ in range(RECONNECTS_MAX):
            if (answer := await answered(engine, manifest)) is not None:
                break
            await asyncio.sleep(0.1)
        assert answer is not None
        np.testing.assert_allclose(answer, expected(wide()), atol=1e-4)
        assert await engine.ready()
        crossings.clear()
        await engine.translate(manifest, wide(), TIMEOUT_MS)
        assert crossings == [len(wide())]
        await engine.close()


async def answered(engine: TritonEngine, manifest: TranslatorManifest) -> Features | None:
    try:
        return await engine.translate(manifest, wide(), TIMEOUT_MS)
    except (EngineUnavailableError, EngineTimeoutError):
        return None


def test_a_call_that_no_slot_holds_is_not_taken(tmp_path: Path) -> None:
    region = triton_memory._create(tmp_path / "region", 2 * SLOTS * SLOT_BYTES)
    memory = TritonMemory(client_module, "region", region)
    features = np.ones((512, 512), dtype=np.float32)
    assert memory.take(features, 513, "FEATURE") is None
    assert memory.take(np.ones((512, 513), dtype=np.float32), 4, "FEATURE") is None
    slots = [memory.take(features, 512, "FEATURE") for _ in range(SLOTS)]
    assert len({slot.index for slot in slots if slot is not None}) == SLOTS
    assert memory.take(features, 512, "FEATURE") is None
