"""Real TorchScript in this process."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contract.manifest import MANIFEST_FILE, MODEL_FILE, Parity, TranslatorManifest, read_manifest
from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.engines.in_process import InProcessEngine
from service.engines.torchscript import open_torchscript
from service.errors import EngineFailedError, EngineUnavailableError
from tests.repository import SOURCE, write_translator

pytestmark = pytest.mark.anyio
TIMEOUT_MS = 60_000


class Refusing(nn.Module):
    """Fails on a batch of exactly 3 rows, quoting what it got."""

    def forward(self, features: Tensor) -> Tensor:
        """[N, 24] to unit-length [N, 16]."""
        if features.shape[0] == 3:
            raise ValueError(f"marked {features}")
        return nn.functional.normalize(features[:, :16])


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
async def engine(repository: Path) -> AsyncIterator[InProcessEngine]:
    engine = await open_torchscript(repository, threads=1, queue_max=1)
    yield engine
    await engine.close()


def publish(repository: Path, module: nn.Module) -> TranslatorManifest:
    """Export a version, then put a scripted module in its place: tracing would unroll the loops and branches."""
    version_dir = write_translator(repository)
    torch.jit.script(module.eval()).save(str(version_dir / MODEL_FILE))
    manifest = TranslatorManifest.model_validate_json((version_dir / MANIFEST_FILE).read_bytes())
    return manifest.model_copy(update={"parity": Parity(max_abs_difference=0.0, proof=None)})


def features(rows: int) -> Features:
    return np.random.default_rng(1).normal(size=(rows, SOURCE.dim)).astype(np.float32)


async def test_two_versions_serve_side_by_side_until_one_is_unloaded(engine: InProcessEngine, repository: Path) -> None:
    old, new = (read_manifest(write_translator(repository, seed=seed)) for seed in (0, 1))
    await engine.load(old)
    await engine.load(new)
    answers = [await engine.translate(manifest, features(1), TIMEOUT_MS) for manifest in (old, new)]
    assert not np.allclose(*answers)
    await engine.unload(old.id, old.version)
    with pytest.raises(EngineUnavailableError):
        await engine.translate(old, features(1), TIMEOUT_MS)
    await engine.translate(new, features(1), TIMEOUT_MS)


async def test_a_failing_model_says_nothing_of_what_it_was_given(
    engine: InProcessEngine, repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = publish(repository, Refusing())
    await engine.load(manifest)
    with pytest.raises(EngineFailedError) as failed:
        await engine.translate(manifest, features(3), TIMEOUT_MS)
    assert "marked" not in str(failed.value) + caplog.text
    assert failed.value.__cause__ is None


def _junk(version_dir: Path) -> None:
    (version_dir / MODEL_FILE).write_bytes(b"junk")


def _missing(version_dir: Path) -> None:
    (version_dir / MODEL_FILE).unlink()


@pytest.mark.parametrize("spoil", [_junk, _missing])
async def test_a_file_that_is_no_torchscript_is_refused(
    engine: InProcessEngine, repository: Path, spoil: Callable[[Path], None]
) -> None:
    version_dir = write_translator(repository)
    manifest = read_manifest(version_dir)
    spoil(version_dir)
    with pytest.raises(EngineFailedError, match=MODEL_FILE):
        await engine.load(manifest)
    with pytest.raises(EngineUnavailableError):
        await engine.translate(manifest, features(1), TIMEOUT_MS)


@pytest.mark.parametrize(
    ("source_dim", "target_dim", "reason"), [(24, 15, r"shape \[1, 15\]"), (23, 16, "failed on this request")]
)
async def test_a_module_of_other_dimensions_than_its_manifest_is_refused(
    engine: InProcessEngine, repository: Path, source_dim: int, target_dim: int, reason: str
) -> None:
    manifest = publish(repository, RandomLinearScript(source_dim, target_dim))
    with pytest.raises(EngineFailedError, match=reason):
        await engine.load(manifest)


class RandomLinearScript(nn.Module):
    """A linear map of any dimensions."""

    def __init__(self, source_dim: int, target_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(source_dim, target_dim)

    def forward(self, features: Tensor) -> Tensor:
        """[N, ds] to [N, dt]."""
        translated: Tensor = self.linear(features)
        return translated


class NotFinite(nn.Module):
    """Answers NaN."""

    def forward(self, features: Tensor) -> Tensor:
        """[N, 24] to [N, 16]."""
        return features[:, :16] * float("nan")


async def test_a_module_that_answers_nan_is_refused(engine: InProcessEngine, repository: Path) -> None:
    with pytest.raises(EngineFailedError, match="NaN"):
        await engine.load(publish(repository, NotFinite()))


async def test_other_dimensions_than_the_usual_work(engine: InProcessEngine, repository: Path) -> None:
    source, target = FeatureSpace(id="one", dim=1), FeatureSpace(id="three", dim=3)
    manifest = read_manifest(write_translator(repository, source, target))
    await engine.load(manifest)
    assert (await engine.translate(manifest, np.ones((5, 1), dtype=np.float32), TIMEOUT_MS)).shape == (5, 3)
