"""What Ray makes of a gallery by the example is what the command makes of it, row by row."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploy.process import wait_until
from examples.ray_migration import BATCH_ROWS, Translate
from service.bulk.offline import Job, translate_folder
from service.bulk.parquet import features_of
from service.bulk.translator import find_version
from tests.parquet import face_table, write
from tests.repository import SOURCE, TARGET

ROWS = BATCH_ROWS + 100  # of the first file; the second has fewer than a batch
MARK = "R3AN_TEST_OF_RAY"
RAY_S_MAX = 300.0


@pytest.fixture(scope="module")
def galleries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere")
    write(folder / "a.parquet", face_table(ROWS), 700)
    write(folder / "b.parquet", face_table(300, seed=1, first=ROWS))
    return folder


@pytest.fixture(scope="module")
def of_command(galleries: Path, translators: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """What `translate-parquet` makes of the galleries."""
    out = tmp_path_factory.mktemp("out")
    translate_folder(Job(galleries, out, SOURCE.id, TARGET.id, translators), workers=1)
    return pa.concat_tables(pq.read_table(file) for file in sorted(out.glob("*.parquet"))).replace_schema_metadata()


def of_example(tables: list[pa.Table], translators: Path, batch_rows: int) -> pa.Table:
    """What Ray's actors make of the same rows, batch by batch; the last batch first, for no order is promised."""
    version, _ = find_version(translators, SOURCE.id, TARGET.id)
    batches = [t.slice(start, batch_rows) for t in tables for start in range(0, t.num_rows, batch_rows)]
    with closing(Translate(version, "feature", "feature")) as translate:
        translated = pa.concat_tables([translate(batch) for batch in reversed(batches)])
    return translated.sort_by("face_id").replace_schema_metadata()


def assert_equal_within_rounding(example: pa.Table, of_command: pa.Table) -> None:
    assert example.drop(["feature"]) == of_command.drop(["feature"])
    features = [features_of(table.column("feature").combine_chunks()) for table in (example, of_command)]
    np.testing.assert_allclose(features[0], features[1], atol=1e-6)


def marked(mark: str) -> list[psutil.Process]:
    """The processes that a Ray of this mark has started."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


@pytest.fixture
def surroundings() -> Iterator[dict[str, str]]:
    """Of a Ray of the test's own on two CPUs, of which neither a process nor a file stays."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "RAY_"))}
    mark = uuid4().hex  # which every process inherits: Ray's outlive the one that starts them
    # Not below tmp_path, whose length a name of a socket cannot have.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        try:
            yield own | {
                MARK: mark,
                "RAY_ADDRESS": "local",
                "RAY_OVERRIDE_RESOURCES": '{"CPU": 2}',
                "RAY_TMPDIR": folder,
                "RAY_USAGE_STATS_ENABLED": "0",
            }
        finally:
            for process in marked(mark):
                with suppress(psutil.Error):
                    process.kill()


def test_the_example_gives_the_rows_of_the_command_bit_for_bit(
    galleries: Path, translators: Path, of_command: pa.Table
) -> None:
    files = [pq.read_table(file) for file in sorted(galleries.glob("*.parquet"))]
    assert of_example(files, translators, BATCH_ROWS) == of_command


def test_batches_that_are_cut_otherwise_differ_by_rounding_alone(
    galleries: Path, translators: Path, of_command: pa.Table
) -> None:
    together = [pa.concat_tables(pq.read_table(file) for file in sorted(galleries.glob("*.parquet")))]
    assert_equal_within_rounding(of_example(together, translators, 333), of_command)


def test_ray_itself_gives_the_rows_of_the_command_and_ends(
    galleries: Path, translators: Path, of_command: pa.Table, surroundings: dict[str, str], tmp_path: Path
) -> None:
    route = ["--source", SOURCE.id, "--target", TARGET.id, "--model-repository", str(translators)]
    command = [sys.executable, "-m", "examples.ray_migration", str(galleries), str(tmp_path / "out"), *route]
    run = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=RAY_S_MAX, check=False)
    assert run.returncode == 0, run.stderr
    moved = pa.concat_tables(pq.read_table(file) for file in (tmp_path / "out").glob("*.parquet"))
    assert_equal_within_rounding(moved.sort_by("face_id").replace_schema_metadata(), of_command)
    wait_until(lambda: not marked(surroundings[MARK]), RAY_S_MAX, "the processes of Ray to end")
