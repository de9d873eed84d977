"""Does training's memory grow with its data? The command itself, over a file and over the same file ten times."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contract.manifest import Method
from training.pairs import DISTRACTOR, IDENTITY, IMAGE_ID, parquet_files

COPIES = 10
PART_ROWS = 1024
SAMPLE_S = 0.02
FIT_S_MAX = 1800.0
TILTED = 1e-2  # a copy's vectors, for no two people have the same one, whatever its length


def repeat_pairs(pairs: Path, copies: int, out: Path) -> int:
    """Write every row `copies` times, under new image ids and of new identities; returns the number of rows."""
    files, rows = parquet_files(pairs), 0
    schema = pq.read_schema(files[0])
    people = 1 + max(int(np.max(pq.read_table(file, columns=[IDENTITY])[IDENTITY])) for file in files)
    with pq.ParquetWriter(out, schema) as writer:
        for copy in range(copies):
            for file in files:
                for batch in pq.ParquetFile(file).iter_batches(PART_ROWS, columns=schema.names):
                    writer.write_batch(_renamed(batch, copy, people))
                    rows += batch.num_rows
    return rows


def _renamed(batch: pa.RecordBatch, copy: int, people: int) -> pa.RecordBatch:
    columns: list[Any] = batch.columns  # pyarrow's stubs know too little of them
    renamed: list[Any] = []
    for field, column in zip(batch.schema, columns, strict=True):
        if field.name == IMAGE_ID:
            renamed.append(pa.array([f"{copy}-{name.as_py()}" for name in column], field.type))
        elif field.name == IDENTITY:
            numbers = np.asarray(column)
            renamed.append(pa.array(np.where(numbers == DISTRACTOR, numbers, numbers + copy * people), field.type))
        elif pa.types.is_fixed_size_list(field.type):
            vectors = np.asarray(column.flatten()).reshape(len(column), -1)
            tilted = vectors + np.float32(copy * TILTED) * np.roll(vectors, 1, axis=1)
            renamed.append(pa.FixedSizeListArray.from_arrays(pa.array(tilted.ravel()), field.type.list_size))
        else:
            renamed.append(column)
    return pa.RecordBatch.from_arrays(renamed, schema=batch.schema)


def anonymous_peak_mb(pairs: Path, source: str, target: str, config: Path, method: Method, out: Path) -> float:
    """Highest resident memory of `r3an fit` that no file backs, in megabytes, sampled every 20 ms."""
    arguments = {"pairs": pairs, "source": source, "target": target, "method": method, "config": config, "out": out}
    command = [sys.executable, "-W", "ignore", "-m", "training.cli", "fit", "--json"]
    command += [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
    end, peak = time.monotonic() + FIT_S_MAX, 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:  # noqa: S603 - our own command
        while process.poll() is None:
            peak = max(peak, _anonymous_mb(process.pid))
            if time.monotonic() > end:
                process.kill()
            time.sleep(SAMPLE_S)
    if process.returncode:
        raise RuntimeError(f"r3an fit --method {method} ended with {process.returncode}")
    return peak


def _anonymous_mb(process_id: int) -> float:
    """Pages of the process that are in memory and belong to no file; 0 at its very end."""
    status = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8")
    kilobytes = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(kilobytes[0]) / 1024 if kilobytes else 0.0
