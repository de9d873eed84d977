"""How many features a second Triton translates when nobody else asks, in the batches that a migration sends."""

import asyncio
import time
from pathlib import Path

import numpy as np

from contract.manifest import TranslatorManifest, read_manifest
from contract.vectors import Features, l2_normalize
from service.engines.triton import TritonEngine
from service.translation import BATCH_ROWS_MAX

BATCHES_AT_ONCE = (1, 2, 4, 8)  # the fastest of them is what the engine can do
ROUNDS = 3
TIMEOUT_MS = 120_000

Rates = dict[int, list[float]]  # batches at once -> features/s of each round


async def engine_rates(address: str, version: Path, seconds: float) -> Rates:
    """Features a second for each number of batches at once, each `seconds` long in rounds."""
    manifest = read_manifest(version)
    features = np.random.default_rng(0).standard_normal((BATCH_ROWS_MAX, manifest.source.dim), dtype=np.float32)
    engine = await TritonEngine.open(address, version.parent.parent)
    try:
        rates: Rates = {}
        for _ in range(ROUNDS):
            for at_once in BATCHES_AT_ONCE:
                rate = await _rate(engine, manifest, l2_normalize(features), at_once, seconds / ROUNDS)
                rates.setdefault(at_once, []).append(rate)
    finally:
        await engine.close()
    return rates


async def _rate(
    engine: TritonEngine, manifest: TranslatorManifest, batch: Features, at_once: int, seconds: float
) -> float:
    """A batch that was begun in time counts, and so does the time until it is done."""
    started_at, done = time.perf_counter(), 0

    async def lane() -> None:
        nonlocal done
        while time.perf_counter() - started_at < seconds:
            await engine.translate(manifest, batch, TIMEOUT_MS)
            done += len(batch)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(lane())
    return done / (time.perf_counter() - started_at)
