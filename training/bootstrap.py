"""Intervals by drawing whole identities, with replacement: of one rate, and of differences between methods.

All are 95 % percentile bootstraps. Faces of one person resemble each other, so that drawing probes one by one would
promise more certainty than there is. Where all identities drawn succeed, every resample agrees and its percentiles
would promise a certainty that no sample gives: no interval says more than `rate_of_all` allows. Nor do resamples know
that four people who differ between two methods are few: no interval says that one is ahead where `sign_test` does not.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.manifest import Interval
from training.comparison import Identities, Rows

BOOTSTRAP = 1000
PERCENTILES = (2.5, 97.5)
SIGNIFICANCE = 0.05  # what the percentiles leave out, on both sides together
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

    `[a][b]` is a's rate minus b's, and `[b][a]` the same seen from the other side. The interval holds zero where
    `sign_test` of the identities that a finds more often than b, and less often, does not tell the two apart. Where so
    few differ that it never could, or none, the interval is at least what all identities can say of a difference that
    was not seen.
    """
    groups, count = identity_groups(identities)
    hits = {name: np.bincount(groups, weights=found, minlength=count) for name, found in correct.items()}  # [I] each
    table = np.stack(list(hits.values()), axis=1)  # [I, M]
    probes = np.bincount(groups, minlength=count)  # [I]
    drawn = np.concatenate([(w @ table) / (w @ probes)[:, None] for w in resamples(count, bootstrap, seed)])  # [B, M]
    rates = dict(zip(correct, zip(table.sum(axis=0) / probes.sum(), drawn.T, strict=True), strict=True))
    most = float(rate_of_all(count))
    differences: dict[str, dict[str, Difference]] = {a: {} for a in rates}
    for a, b in itertools.permutations(rates, 2):
        (rate_a, drawn_a), (rate_b, drawn_b) = rates[a], rates[b]
        ahead, behind = int((hits[a] > hits[b]).sum()), int((hits[a] < hits[b]).sum())
        differences[a][b] = _difference(float(rate_a - rate_b), drawn_a - drawn_b, ahead, behind, most)
    return differences


def sign_test(ahead: int, behind: int) -> float:
    """The exact two-sided sign test: how often so many fair coins fall at least as lopsided; 0 … 1.

    Of two methods on the same people, it is McNemar's comparison (Psychometrika 12, 1947) with the binomial
    distribution itself instead of an approximation. People whom both find equally often count for neither.
    """
    coins, fewer = ahead + behind, np.arange(min(ahead, behind) + 1)
    logs = [math.lgamma(coins + 1) - math.lgamma(k + 1) - math.lgamma(coins - k + 1) for k in fewer]
    return min(1.0, 2 * float(np.exp(np.array(logs) - coins * math.log(2)).sum()))


def _difference(value: float, drawn: NDArray[np.float64], ahead: int, behind: int, most: float) -> Difference:
    low, high = (float(bound) for bound in np.percentile(drawn, PERCENTILES))
    if sign_test(ahead + behind, 0) > SIGNIFICANCE:
        low, high = min(low, most - 1), max(high, 1 - most)
    elif sign_test(ahead, behind) > SIGNIFICANCE:
        low, high = min(low, 0.0), max(high, 0.0)
    return Difference(value, min(low, most), max(high, -most), float((drawn > 0).mean()))
