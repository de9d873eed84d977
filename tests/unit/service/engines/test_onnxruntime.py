"""Real ONNX in this process."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from contract.manifest import ONNX_FILE, read_manifest
from contract.vectors import Features
from service.engines.in_process import InProcessEngine
from service.engines.onnxruntime import open_onnxruntime
from service.errors import EngineFailedError, EngineUnavailableError
from tests.repository import SOURCE, write_translator

pytestmark = pytest.mark.anyio
TIMEOUT_MS = 60_000


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
async def engine(repository: Path) -> AsyncIterator[InProcessEngine]:
    engine = await open_onnxruntime(repository, threads=2, queue_max=1)
    yield engine
    await engine.close()


def features(rows: int) -> Features:
    return np.random.default_rng(1).normal(size=(rows, SOURCE.dim)).astype(np.float32)


async def test_a_version_from_before_onnx_is_refused_with_what_to_do(engine: InProcessEngine, repository: Path) -> None:
    manifest = read_manifest(write_translator(repository)).model_copy(update={"onnx": None})
    with pytest.raises(EngineFailedError, match=r"no model\.onnx: export it again, or .* R3AN_ENGINE=torchscript"):
        await engine.load(manifest)
    with pytest.raises(EngineUnavailableError):
        await engine.translate(manifest, features(1), TIMEOUT_MS)


def _junk(version_dir: Path) -> None:
    (version_dir / ONNX_FILE).write_bytes(b"junk")


def _missing(version_dir: Path) -> None:
    (version_dir / ONNX_FILE).unlink()


@pytest.mark.parametrize("spoil", [_junk, _missing])
async def test_a_file_that_is_no_onnx_is_refused(
    engine: InProcessEngine, repository: Path, spoil: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    version_dir = write_translator(repository)
    manifest = read_manifest(version_dir)
    spoil(version_dir)
    with pytest.raises(EngineFailedError, match=r"model\.onnx is no ONNX that loads"):
        await engine.load(manifest)
    assert not capfd.readouterr().err, "the runtime has its own way to the terminal"


async def test_features_of_another_dimension_fail_and_say_nothing(
    engine: InProcessEngine, repository: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    manifest = read_manifest(write_translator(repository))
    await engine.load(manifest)
    with pytest.raises(EngineFailedError, match="failed on this request") as failed:
        await engine.translate(manifest, features(2)[:, :5], TIMEOUT_MS)
    assert failed.value.__cause__ is None
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "inference failed: InvalidArgument"
    ]
    assert not capfd.readouterr().err
