"""What the example gives to Ray is what the command runs, row by row; Ray itself is no dependency and not run here."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples.ray_migration import BATCH_ROWS, Translate
from service.bulk.offline import Job, translate_folder
from service.bulk.parquet import features_of
from service.bulk.translator import find_version
from tests.parquet import face_table, write
from tests.repository import SOURCE, TARGET

ROWS = BATCH_ROWS + 100  # of the first file; the second has fewer than a batch


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


def test_the_example_gives_the_rows_of_the_command_bit_for_bit(
    galleries: Path, translators: Path, of_command: pa.Table
) -> None:
    files = [pq.read_table(file) for file in sorted(galleries.glob("*.parquet"))]
    assert of_example(files, translators, BATCH_ROWS) == of_command


def test_batches_that_are_cut_otherwise_differ_by_rounding_alone(
    galleries: Path, translators: Path, of_command: pa.Table
) -> None:
    together = [pa.concat_tables(pq.read_table(file) for file in sorted(galleries.glob("*.parquet")))]
    example = of_example(together, translators, 333)
    assert example.drop(["feature"]) == of_command.drop(["feature"])
    features = [features_of(table.column("feature").combine_chunks()) for table in (example, of_command)]
    np.testing.assert_allclose(features[0], features[1], atol=1e-6)
