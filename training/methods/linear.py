"""`affine` and `procrustes`: closed forms, no images, no iterations."""

import numpy as np
import torch

from training.methods.base import Fit, Rows, chunks, preparation
from training.models.linear import Linear, Matrix, Moments, measure_moments, solve_procrustes, solve_ridge
from training.models.translator import Translator, translate

RIDGES = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
VALIDATION_SHARE = 0.2


def fit_affine(fit: Fit) -> Translator:
    """Ridge regression with centring; the penalty is chosen on identities set aside, then all pairs are used."""
    training_rows, validation_rows = set_aside(fit)
    moments = measure(fit, training_rows)
    similarities = [_similarity(fit, _translator(fit, solve_ridge(moments, r)), validation_rows) for r in RIDGES]
    best = RIDGES[int(np.argmax(similarities))]
    return _translator(fit, solve_ridge(measure(fit, fit.rows), best))


def fit_procrustes(fit: Fit) -> Translator:
    """The orthogonal map between centred features."""
    return _translator(fit, solve_procrustes(measure(fit, fit.rows)))


def measure(fit: Fit, rows: Rows) -> Moments:
    """Second moments of prepared sources and unit-length targets, streamed."""
    mean, scale = preparation(fit)
    prepare = Translator(mean, scale, torch.nn.Identity()).prepare
    return measure_moments(
        (prepare(torch.from_numpy(fit.sources(part))).numpy(), fit.targets(part)) for part in chunks(rows)
    )


def _translator(fit: Fit, solution: tuple[Matrix, Matrix]) -> Translator:
    network = Linear(*fit.dims)
    network.set(*solution)
    return Translator(*preparation(fit), network)


def set_aside(fit: Fit) -> tuple[Rows, Rows]:
    """Training rows of four identities in five, and those of the fifth, to choose settings by."""
    identities = np.asarray(fit.pairs.identities[fit.rows])
    unique = np.unique(identities)
    rng = np.random.default_rng(fit.config.seed)
    held_out = rng.permutation(unique)[: max(1, int(len(unique) * VALIDATION_SHARE))]
    is_held_out = np.isin(identities, held_out)
    return fit.rows[~is_held_out], fit.rows[is_held_out]


def _similarity(fit: Fit, translator: Translator, rows: Rows) -> float:
    cosines = [(translate(translator, fit.sources(part)) * fit.targets(part)).sum(axis=1) for part in chunks(rows)]
    return float(np.concatenate(cosines).mean())
