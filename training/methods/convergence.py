"""Whether a training learned anything: Table 3 has an architecture (Arch7) that does not."""

import numpy as np

from contract.vectors import l2_normalize
from training.errors import DivergedError
from training.methods.base import Fit, measure_target_mean
from training.models.translator import Translator, translate

JUDGED_ITERATIONS_MIN = 30  # fewer are a trial, which need not be anywhere yet
JUDGED_ROWS_MAX = 4096


def converged(translator: Translator, fit: Fit) -> Translator:
    """The translator, if it is nearer to its targets than their mean is; a trial, or one without Eq. 9, in any case.

    The last losses would not tell: they fall from wherever a rate that is too high has thrown them.

    Raises:
        DivergedError: it is no nearer.
    """
    config = fit.config
    if config.iterations < JUDGED_ITERATIONS_MIN or not config.regression_weight:
        return translator
    rows = fit.rows[np.random.default_rng(config.seed).permutation(len(fit.rows))[:JUDGED_ROWS_MAX]]
    targets, mean = fit.targets(rows), l2_normalize(measure_target_mean(fit)[None].astype(np.float32))
    learned = float((translate(translator, fit.sources(rows)) * targets).sum(axis=1).mean())
    known = float((mean * targets).sum(axis=1).mean())
    if not learned > known:  # of numbers that are none, too
        raise DivergedError(
            f"{config.method} did not converge: cosine to the target {learned:.3f} on average, "
            f"the mean target's is {known:.3f}"
        )
    return translator
