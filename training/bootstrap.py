"""Intervals by drawing whole identities, with replacement: of one rate, and of differences between methods.

All are 95 % percentile bootstraps. Faces of one person resemble each other, so that drawing probes one by one would
promise more certainty than there is. Where all identities drawn succeed, every resample agrees and its percentiles
would promise a certainty that no sample gives: no interval says more than `rate_of_all` allows.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.manifest import Interval
from training.comparison import Identities, Rows

BOOTSTRAP = 1000
PERCENTILES = (2.5, 97.5)
DRAWN_ELEMENTS_MAX = 4_000_000  # of one block of resamples

Counts = NDArray[np.float32]


def identity_groups(identities: Identities) -> tuple[Rows, int]:
    """Number each identity; every -1 is an identity of its own."""
    strangers = -1 - np.arange(len(identities))
    values, groups = np.unique(np.where(identities < 0, strangers, identities), return_inverse=True)
    return groups, len(values)


def count_subjects(identities: Identities) -> int:
    """Subjects of a gallery [G]: each known identity, and each face of identity -1, of whom nobody knows who it is.

    This is what `gallery_subjects` means wherever it is written: how many people a probe may be taken for.
    """
    return identity_groups(identities)[1]


def resamples(count: int, bootstrap: int, seed: int) -> Iterator[Counts]:
    """How often each of `count` identities is drawn, [b, count] at a time until `bootstrap` resamples are out."""
    generator = np.random.default_rng(seed)
    block = max(1, DRAWN_ELEMENTS_MAX // count)
    for start in range(0, bootstrap, block):
        rows = min(block, bootstrap - start)
        drawn = generator.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float32)


def rate_of_all(identities: int | Rows) -> NDArray[np.float64]:
    """The least rate at which all of so many independent identities still succeed in one of forty samples.

    The closed form of the exact two-sided 95 % bound of n successes in n (Clopper and Pearson, Biometrika 26, 1934):
    the highest lower bound that n identities can support. Of none in n, the upper bound is 1 minus this.
    """
    return np.asarray((PERCENTILES[0] / 100) ** (1 / np.asarray(identities, np.float64)))


def interval_of(value: float, drawn: NDArray[np.float64], identities: int) -> Interval:
    """A rate over so many identities with the interval of its resamples [B]; it holds the rate itself.

    Near 0 and 1 it is as wide as at them: a sample with hardly a failure knows no more than one without.
    """
    low, high = np.clip(np.percentile(drawn, PERCENTILES), 0, 1)
    most = float(rate_of_all(identities))
    return Interval(value=value, low=min(float(low), value, most), high=max(float(high), value, 1 - most))


@dataclass(frozen=True, slots=True)
class Difference:
    """A minus B with its 95 % interval; an interval above zero says that A is better."""

    value: float
    low: float
    high: float
    share: float  # of the resamples, in which A is ahead of B; a tie counts for neither


def paired_differences(
    correct: Mapping[str, NDArray[np.bool_]],
    identities: Identities,
    *,
    bootstrap: int = BOOTSTRAP,
    seed: int = 0,
) -> dict[str, dict[str, Difference]]:
    """Differences between every two methods' rates on the SAME probes [P], identities drawn alike for all.

    `[a][b]` is a's rate minus b's, and `[b][a]` the same seen from the other side. Of two methods with the same hits
    the interval is what the identities can say of how often they differ at most.
    """
    groups, count = identity_groups(identities)
    hits = [np.bincount(groups, weights=found, minlength=count) for found in correct.values()]
    table = np.stack(hits, axis=1)  # [I, M]
    probes = np.bincount(groups, minlength=count)  # [I]
    drawn = np.concatenate([(w @ table) / (w @ probes)[:, None] for w in resamples(count, bootstrap, seed)])  # [B, M]
    rates = dict(zip(correct, zip(table.sum(axis=0) / probes.sum(), drawn.T, strict=True), strict=True))
    most = float(rate_of_all(count))
    found: dict[str, dict[str, Difference]] = {a: {} for a in rates}
    for a, b in itertools.permutations(rates, 2):
        agree = np.array_equal(correct[a], correct[b])
        found[a][b] = _same(most) if agree else _difference(*rates[a], *rates[b], most)
    return found


def _same(most: float) -> Difference:
    return Difference(0.0, most - 1, 1 - most, 0.0)


def _difference(
    a: float, drawn_a: NDArray[np.float64], b: float, drawn_b: NDArray[np.float64], most: float
) -> Difference:
    drawn = drawn_a - drawn_b  # [B]
    low, high = np.percentile(drawn, PERCENTILES)
    return Difference(float(a - b), min(float(low), most), max(float(high), -most), float((drawn > 0).mean()))
