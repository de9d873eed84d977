"""Targets of real pairs, drawn towards what a teacher says."""

from contract.vectors import Features, l2_normalize
from training.methods.base import Fit, Rows
from training.models.translator import translate


def soft_targets(fit: Fit, rows: Rows) -> Features:
    """Unit-length targets [n, dt]: the true ones and the teacher's translations, weighted by `soft_target_share`.

    A true target has what no source feature tells, and a network learns that by heart where faces are few. What
    the teacher says has not (Hinton et al., 2015, section 2).
    """
    true, share = fit.targets(rows), fit.config.soft_target_share  # [n, dt]
    if fit.teacher is None or not share:
        return true
    taught = translate(fit.teacher, fit.sources(rows))  # [n, dt]
    return l2_normalize(true + share * (taught - true))
