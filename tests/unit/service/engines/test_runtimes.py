"""What every runtime in this process answers and refuses."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import torch

from contract.manifest import Parity, read_manifest
from contract.vectors import Features
from service.engines import onnxruntime, torchscript
from service.engines.in_process import InProcessEngine
from service.errors import EngineFailedError
from tests.repository import SOURCE, TARGET, RandomLinear, write_translator

pytestmark = pytest.mark.anyio
TIMEOUT_MS = 60_000
PASSES = {rows + more for rows in (onnxruntime.BATCH_ROWS, torchscript.BATCH_ROWS) for more in (0, 1)}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture(params=[onnxruntime.open_onnxruntime, torchscript.open_torchscript], ids=["onnx", "torchscript"])
async def engine(repository: Path, request: pytest.FixtureRequest) -> AsyncIterator[InProcessEngine]:
    engine = await request.param(repository, threads=2, queue_max=1)
    yield engine
    await engine.close()


def features(rows: int) -> Features:
    return np.random.default_rng(1).normal(size=(rows, SOURCE.dim)).astype(np.float32)


@pytest.mark.parametrize("rows", sorted({1, 2, 7, 512} | PASSES))
async def test_it_answers_what_eager_torch_answers(engine: InProcessEngine, repository: Path, rows: int) -> None:
    manifest = read_manifest(write_translator(repository, seed=3))
    await engine.load(manifest)
    translated = await engine.translate(manifest, features(rows), TIMEOUT_MS)
    with torch.inference_mode():
        expected = RandomLinear(SOURCE.dim, TARGET.dim, seed=3)(torch.tensor(features(rows))).numpy()
    np.testing.assert_allclose(translated, expected, atol=1e-5)
    assert translated.dtype == np.float32


async def test_features_that_cannot_be_written_to_are_taken_as_they_are(
    engine: InProcessEngine, repository: Path
) -> None:
    manifest = read_manifest(write_translator(repository))
    await engine.load(manifest)
    frozen = np.frombuffer(features(2).tobytes(), dtype=np.float32).reshape(2, -1)
    assert (await engine.translate(manifest, frozen, TIMEOUT_MS)).shape == (2, TARGET.dim)


async def test_weights_that_changed_after_they_were_hashed_are_refused(
    engine: InProcessEngine, repository: Path
) -> None:
    manifest = read_manifest(write_translator(repository))
    other = Parity(max_abs_difference=0.0, proof=tuple(-value for value in manifest.parity.proof or ()))
    with pytest.raises(EngineFailedError, match="other weights are loaded"):
        await engine.load(manifest.model_copy(update={"parity": other}))
