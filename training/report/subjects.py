"""Whom to show: the subjects with most faces."""

import numpy as np

from training.comparison import Identities, Rows


def faces_of_most_photographed(identities: Identities, subjects: int, faces_max: int) -> tuple[Rows, Rows]:
    """Rows of the first faces of the subjects with most, at most `faces_max` of each, and whose row each is.

    Of equals the lower identity comes first; -1 is nobody. Subjects with a single face are passed over.
    """
    known, counts = np.unique(identities[identities >= 0], return_counts=True)
    order = [s for s in np.argsort(-counts, kind="stable") if counts[s] > 1][:subjects]
    chosen = [np.flatnonzero(identities == known[s])[:faces_max] for s in order]
    numbers = [np.full(len(rows), number) for number, rows in enumerate(chosen)]
    empty = np.empty(0, np.int64)
    return np.concatenate([empty, *chosen]), np.concatenate([empty, *numbers])
