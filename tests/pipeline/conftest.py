"""A small paired data set and a finished bake-off over it, made once for a worker."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg

from contract.vectors import Features

SOURCE, TARGET = "old-encoder-24", "new-encoder-16"
SOURCE_DIM, TARGET_DIM = 24, 16
IDENTITIES, FACES = 60, 4
COMMAND_TIMEOUT_S = 300

R3AN_TOML = """
method = "r3an"
iterations = 3
batch_rows = 8
"""
FC_TOML = """
method = "fc"
iterations = 5
batch_rows = 16
"""


@pytest.fixture(scope="session", autouse=True)
def heeded_stops() -> Iterator[None]:
    """Let commands heed SIGINT though the tests run in the background of a shell, where it is ignored and inherited."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class Bakeoff:
    """A finished bake-off, the data it judged and the command that made it."""

    pairs: Path
    out: Path
    arguments: list[str]
    printed: dict[str, Any]


def r3an(*arguments: str, threads: int | None = None) -> subprocess.CompletedProcess[str]:
    """The training command as its user runs it, in so many threads."""
    command = [sys.executable, "-m", "training.cli", *arguments]
    environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    return subprocess.run(
        command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False, env=environment
    )


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2, one line, nothing on standard output, the words in it."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("r3an: ")
    for word in words:
        assert word in done.stderr


def write_pairs(file: Path, *, rows_from: int = 0, seed: int = 0) -> Path:
    """Two encoders that see the same 12 latent factors of a face through different linear eyes, plus noise."""
    rng = np.random.default_rng(seed)
    eyes = [rng.normal(size=(12, dim)) for dim in (SOURCE_DIM, TARGET_DIM)]
    subjects = rng.normal(size=(IDENTITIES, 12))
    identities = np.repeat(np.arange(IDENTITIES), FACES)
    latent = subjects[identities] + 0.15 * rng.normal(size=(len(identities), 12))
    features = [(latent @ eye + 0.05 * rng.normal(size=(len(latent), eye.shape[1]))).astype(np.float32) for eye in eyes]
    images = rng.integers(0, 256, (len(identities), 56, 56, 3), dtype=np.uint8)
    rows = slice(rows_from, None)
    table = pa.table(
        {
            "image_id": [f"image-{row}" for row in range(len(identities))][rows],
            "identity": pa.array(identities[rows], pa.int32()),
            "image": [simplejpeg.encode_jpeg(image) for image in images[rows]],
            SOURCE: _feature_column(features[0][rows]),
            TARGET: _feature_column(features[1][rows]),
        }
    )
    pq.write_table(table, file)
    return file


def _feature_column(features: Features) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(features.ravel(), pa.float32()), features.shape[1])


@pytest.fixture(scope="session")
def bakeoff(tmp_path_factory: pytest.TempPathFactory) -> Bakeoff:
    """All four methods, trained for a moment on small pairs by the real command."""
    folder = tmp_path_factory.mktemp("bakeoff")
    pairs = write_pairs(folder / "pairs.parquet")
    (folder / "r3an.toml").write_text(R3AN_TOML)
    (folder / "fc.toml").write_text(FC_TOML)
    arguments = ["bakeoff", "--pairs", str(pairs), "--source", SOURCE, "--target", TARGET, "--out", str(folder / "out")]
    arguments += ["--config", str(folder / "r3an.toml"), "--config", str(folder / "fc.toml"), "--json"]
    done = r3an(*arguments)
    assert done.returncode == 0, done.stderr
    return Bakeoff(pairs, folder / "out", arguments, json.loads(done.stdout))
