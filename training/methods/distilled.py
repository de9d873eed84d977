"""`distilled`: a small student of another translator, which may cost hundreds of times as much."""

import numpy as np
import torch
from torch import Tensor

from contract.vectors import l2_normalize
from training.errors import ConfigError
from training.methods.base import Batches, Fit, seeded
from training.methods.interpolation import Interpolations
from training.methods.linear import measure
from training.methods.residual import learn_residual
from training.models.residual import Student
from training.models.translator import Translator, translate

REAL_ROWS_MAX, POOL_ROWS = 32_768, 16_384  # labelled once, as a teacher may be dear; students see them many times


def fit_distilled(fit: Fit) -> Translator:
    """Learn the teacher's translations of real and interpolated features (Hinton et al., 2015).

    Raises:
        ConfigError: the fit has no teacher.
        DivergedError: it learns nothing.
    """
    if fit.teacher is None:
        raise ConfigError("distilled needs a teacher: name one in its configuration")
    config = fit.config
    rows = np.random.default_rng(config.seed).permutation(fit.rows)[:REAL_ROWS_MAX]
    real = l2_normalize(fit.sources(rows))  # [n, ds]
    drawn, labels = Interpolations(fit, fit.teacher, POOL_ROWS).at(0)  # [k, ds], [k, dt]
    sources = torch.cat([torch.from_numpy(real), drawn])  # [n + k, ds]
    targets = torch.cat([torch.from_numpy(translate(fit.teacher, real)), labels])  # [n + k, dt]
    batches = (
        Batches(np.arange(len(rows)), config.batch_rows - config.interpolated_rows, config.seed),
        Batches(len(rows) + np.arange(POOL_ROWS), config.interpolated_rows, config.seed),
    )

    def examples(iteration: int) -> tuple[Tensor, Tensor]:
        chosen = np.concatenate([part.at(iteration) for part in batches])
        return sources[chosen], targets[chosen]

    with seeded(config.seed):
        network = Student(*fit.dims)
    return learn_residual(fit, network, measure(fit, fit.rows), examples)
