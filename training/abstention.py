"""What abstaining buys: rank-1 over the kept fraction, and how well confidence tells faces from what is none."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from contract.manifest import Abstention, Interval
from contract.vectors import Features, l2_normalize
from training.bootstrap import BOOTSTRAP, PERCENTILES, identity_groups, interval_of, rate_of_all, resamples
from training.comparison import Identities

KEPT = tuple(round(1 - 0.05 * step, 2) for step in range(20))  # 1 … 0.05 of the probes
DIGITS = 5
DARK_SHARE = 0.1
ELEMENTS_MAX = 1_000_000  # of a block of resampled scores

Scores = NDArray[np.float32]
Images = NDArray[np.uint8]
Shares = NDArray[np.float64]


def abstention_curve(
    confidence: Scores, hits: NDArray[np.bool_], identities: Identities, *, bootstrap: int = BOOTSTRAP, seed: int = 0
) -> Abstention:
    """Rank-1 of the most confident probes: which of [P] find their subject, by the confidence [P] in each.

    Probes of one confidence stay or go together, in so far as each counts by the share of them that is kept. The 95 %
    band draws identities, at the cut-offs that all probes give.
    """
    groups, count = identity_groups(identities)
    kept = _kept_shares(confidence)  # [P, K]
    found, shown = (_sum_by(groups, count, weights) for weights in (kept * hits[:, None], kept))  # [I, K] both
    drawn = np.concatenate(
        [(w @ found) / np.maximum(w @ shown, np.finfo(np.float64).tiny) for w in resamples(count, bootstrap, seed)]
    )  # [B, K]
    rank_1 = found.sum(axis=0) / shown.sum(axis=0)  # [K]
    low, high = np.percentile(drawn, PERCENTILES, axis=0)
    most = rate_of_all((shown > 0).sum(axis=0))  # [K]
    return Abstention(
        kept=KEPT,
        rank_1=_rounded(rank_1),
        low=_rounded(np.minimum(np.minimum(low, most), rank_1)),
        high=_rounded(np.clip(np.maximum(high, 1 - most), rank_1, 1)),
    )


def auroc(
    faces: Scores,
    face_identities: Identities,
    others: Scores,
    other_identities: Identities,
    *,
    bootstrap: int = BOOTSTRAP,
    seed: int = 0,
) -> Interval:
    """How often a face [N] is given more confidence than something else [M]; a tie counts half.

    The interval draws identities; something made of a face is drawn with it, and what is of nobody (-1) by itself.
    """
    scores = np.concatenate([faces, others])
    groups, count = identity_groups(np.concatenate([face_identities, other_identities]))
    is_face = np.arange(len(scores)) < len(faces)
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # of each run of equal scores
    face, groups = is_face[order], groups[order]

    def areas(weights: Shares) -> Shares:
        faces_at = np.add.reduceat(weights * face, starts, axis=1)  # [b, S]
        others_at = np.add.reduceat(weights * ~face, starts, axis=1)  # [b, S]
        won = (faces_at * (np.cumsum(others_at, axis=1) - others_at / 2)).sum(axis=1)
        pairs = faces_at.sum(axis=1) * others_at.sum(axis=1)
        return np.asarray(np.where(pairs > 0, won / np.maximum(pairs, 1), 0.5))  # [b]

    value = float(areas(np.ones((1, len(order))))[0])
    at_once = max(1, ELEMENTS_MAX // len(order))
    drawn = [
        areas(w[start : start + at_once, groups].astype(np.float64))
        for w in resamples(count, bootstrap, seed)
        for start in range(0, len(w), at_once)
    ]
    identities = min(identity_groups(side)[1] for side in (face_identities, other_identities))
    return interval_of(value, np.concatenate(drawn), identities)


def impostures(sources: Features, targets: Features, seed: int = 0) -> Mapping[str, Features]:
    """What is no feature of the source, one [N, ds] of each kind for N faces' raw features [N, ds] and [N, dt].

    `wrong-space`: the faces' target features, cut or zero-padded. `gaussian-noise`: even on the sphere. `noisy-faces`:
    with noise of the feature's own length added. `half-missing`: half of the entries, drawn anew each time, are zero.
    """
    generator = np.random.default_rng(seed)
    rows, dim = sources.shape
    width = min(dim, targets.shape[1])
    wrong_space = np.zeros((rows, dim), np.float32)
    wrong_space[:, :width] = targets[:, :width]
    noise, added = (l2_normalize(generator.standard_normal((rows, dim), np.float32)) for _ in range(2))
    missing = np.argsort(generator.random((rows, dim)), axis=1) < dim // 2
    return {
        "wrong-space": _with_direction(wrong_space, noise),
        "gaussian-noise": noise,
        "noisy-faces": sources + added * np.linalg.norm(sources, axis=1, keepdims=True),
        "half-missing": _with_direction(np.where(missing, np.float32(0), sources), noise),
    }


def dark_crops(images: Images) -> NDArray[np.bool_]:
    """The tenth [N] of face crops [N, 56, 56, 3] that is darkest on average: a stand-in for another domain's faces."""
    brightness = np.asarray([image.mean() for image in images])
    dark = np.zeros(len(brightness), np.bool_)
    dark[np.argsort(brightness, kind="stable")[: round(DARK_SHARE * len(brightness))]] = True
    return dark


def _with_direction(features: Features, others: Features) -> Features:
    """Features [N, d], those that are zero replaced: an encoder that ends in a ReLU may leave nothing in one half."""
    return np.where(features.any(axis=1, keepdims=True), features, others)


def _kept_shares(confidence: Scores) -> Shares:
    """By what share each probe is kept [P, K], at each kept fraction: 1, 0, or between for those at the cut-off."""
    _, ties, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)  # most confident first
    before = np.cumsum(sizes) - sizes
    room = np.asarray(KEPT) * len(confidence) - before[:, None]  # [S, K]: probes that may still be kept
    return np.asarray(np.clip(room / sizes[:, None], 0, 1)[ties])


def _sum_by(groups: NDArray[np.int64], count: int, weights: Shares) -> Shares:
    sums = np.zeros((count, weights.shape[1]))
    np.add.at(sums, groups, weights)
    return sums


def _rounded(rates: Shares) -> tuple[float, ...]:
    return tuple(round(float(rate), DIGITS) for rate in rates)
