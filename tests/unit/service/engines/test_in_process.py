"""What engines in this process share, with runs that the test holds back."""

import asyncio
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest

from contract.manifest import TranslatorManifest
from contract.vectors import Features, l2_normalize
from service.engines.in_process import InProcessEngine, Run, import_runtime
from service.errors import EngineFailedError, EngineOverloadedError, EngineTimeoutError, EngineUnavailableError
from tests.manifests import make_manifest
from tests.repository import SOURCE, TARGET

pytestmark = pytest.mark.anyio
TIMEOUT_MS = 60_000
BATCH_ROWS = 4
HELD_ROWS = 3  # what waits for the gate


class Gate:
    """Runs that answer with their first numbers; those of `HELD_ROWS` rows wait until the gate is open."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()
        self.batches: list[int] = []

    def open_version(self, _: TranslatorManifest) -> Run:
        return self.run

    def run(self, features: Features) -> Features:
        self.batches.append(len(features))
        if len(features) == HELD_ROWS:
            self.begun.release()
            assert self.open.wait(60)
        return l2_normalize(features[:, : TARGET.dim])


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def manifest() -> TranslatorManifest:
    return make_manifest()


@pytest.fixture
async def engine(gate: Gate, manifest: TranslatorManifest) -> AsyncIterator[InProcessEngine]:
    engine = InProcessEngine("held", gate.open_version, threads=1, queue_max=1, batch_rows=BATCH_ROWS)
    await engine.load(manifest)
    gate.batches.clear()
    yield engine
    gate.open.set()
    await engine.close()


def features(rows: int) -> Features:
    return np.random.default_rng(rows).normal(size=(rows, SOURCE.dim)).astype(np.float32)


async def test_many_rows_go_through_piece_by_piece_and_come_back_in_order(
    engine: InProcessEngine, gate: Gate, manifest: TranslatorManifest
) -> None:
    given = features(10)
    translated = await engine.translate(manifest, given, TIMEOUT_MS)
    assert gate.batches == [4, 4, 2]
    np.testing.assert_array_equal(translated, l2_normalize(given[:, : TARGET.dim]))


async def test_what_neither_runs_nor_fits_the_queue_is_refused_at_once(
    engine: InProcessEngine, gate: Gate, manifest: TranslatorManifest
) -> None:
    accepted = [asyncio.create_task(engine.translate(manifest, features(HELD_ROWS), TIMEOUT_MS)) for _ in range(2)]
    await asyncio.to_thread(gate.begun.acquire)
    with pytest.raises(EngineOverloadedError) as refused:
        await engine.translate(manifest, features(1), TIMEOUT_MS)
    assert refused.value.retry_after_s == 1
    gate.open.set()
    await asyncio.gather(*accepted)
    await engine.translate(manifest, features(1), TIMEOUT_MS)


async def test_a_deadline_is_kept_while_the_inference_runs_on(
    engine: InProcessEngine, manifest: TranslatorManifest
) -> None:
    with pytest.raises(EngineTimeoutError):
        await engine.translate(manifest, features(HELD_ROWS), 1)


async def test_an_unload_does_not_disturb_a_request_under_way(
    engine: InProcessEngine, gate: Gate, manifest: TranslatorManifest
) -> None:
    under_way = asyncio.create_task(engine.translate(manifest, features(HELD_ROWS), TIMEOUT_MS))
    await asyncio.to_thread(gate.begun.acquire)
    await engine.unload(manifest.id, manifest.version)
    gate.open.set()
    assert (await under_way).shape == (HELD_ROWS, TARGET.dim)
    with pytest.raises(EngineUnavailableError):
        await engine.translate(manifest, features(1), TIMEOUT_MS)


async def test_a_version_that_answers_wrongly_is_refused_and_the_one_before_serves_on(
    manifest: TranslatorManifest,
) -> None:
    wrong = make_manifest(version=2)
    engine = InProcessEngine(
        "wrong",
        lambda loaded: lambda features: features[:, : TARGET.dim] * (np.nan if loaded is wrong else 1),
        threads=1,
        queue_max=0,
        batch_rows=BATCH_ROWS,
    )
    await engine.load(manifest)
    with pytest.raises(EngineFailedError, match="NaN"):
        await engine.load(wrong)
    assert (await engine.translate(manifest, features(1), TIMEOUT_MS)).shape == (1, TARGET.dim)
    await engine.close()


async def test_a_closed_engine_is_not_ready_and_takes_nothing(
    engine: InProcessEngine, manifest: TranslatorManifest
) -> None:
    assert await engine.ready()
    await engine.close()
    await engine.close()
    assert not await engine.ready()
    with pytest.raises(EngineUnavailableError):
        await engine.translate(manifest, features(1), TIMEOUT_MS)


async def test_a_runtime_that_is_not_installed_is_named_with_what_brings_it() -> None:
    with pytest.raises(EngineUnavailableError, match=r"no_such_runtime is missing: pip install 'r3an\[extra\]'"):
        await import_runtime("no_such_runtime", "extra")
