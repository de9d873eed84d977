"""A million distractors: what is measured, and in how much memory."""

import tracemalloc

import numpy as np
import pytest

from training.comparison import compare
from training.identification import FARS, measure

PROBES, DISTRACTORS, DIM = 32, 1_000_000, 8
PEAK_BYTES_MAX = 32 * 2**20  # all similarities would take 128 MB
CHUNK = 100_000


def crowd() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """32 probes whose subjects are enrolled before a million distractors."""
    generator = np.random.default_rng(0)
    gallery = generator.standard_normal((PROBES + DISTRACTORS, DIM), dtype=np.float32)
    probes = gallery[:PROBES] + 0.2 * generator.standard_normal((PROBES, DIM), dtype=np.float32)
    owners = np.append(np.arange(PROBES), np.full(DISTRACTORS, -1)).astype(np.int32)
    return probes, np.arange(PROBES, dtype=np.int32), gallery, owners


def test_a_million_distractors_are_measured_exactly_in_bounded_memory() -> None:
    people = crowd()
    tracemalloc.start()
    try:
        comparison = compare(*people)
        found = measure(comparison, bootstrap=100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < PEAK_BYTES_MAX
    rank_1, rates = brute_force(*people)
    assert found.rank_1.value == pytest.approx(rank_1)
    assert {far: rate.value for far, rate in found.tar_at_far.items()} == pytest.approx(rates)
    assert rates["1e-6"] < rates["1e-3"]


def brute_force(
    probes: np.ndarray, names: np.ndarray, gallery: np.ndarray, owners: np.ndarray
) -> tuple[float, dict[str, float]]:
    """Rank-1 and TAR at each rate, from the similarities in double precision."""
    probes = probes.astype(np.float64)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    impostors, genuine = [], np.empty(len(probes))
    for start in range(0, len(gallery), CHUNK):
        faces = gallery[start : start + CHUNK].astype(np.float64)
        similarities = probes @ (faces / np.linalg.norm(faces, axis=1, keepdims=True)).T
        rows, columns = np.nonzero(names[:, None] == owners[None, start : start + CHUNK])
        genuine[rows] = similarities[rows, columns]
        similarities[rows, columns] = -1
        impostors.append(similarities)
    rank_1 = np.mean(genuine > np.max([chunk.max(axis=1) for chunk in impostors], axis=0))
    highest = np.sort(np.concatenate([chunk[chunk > 0.7] for chunk in impostors]))[::-1]  # 2 % of them
    pairs = sum(chunk.size for chunk in impostors) - len(probes)
    return float(rank_1), {far: float(np.mean(genuine > highest[int(float(far) * pairs + 1e-9)])) for far in FARS}
