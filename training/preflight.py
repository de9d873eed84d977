"""What can be known before hours of training: whether these pairs can be learned from, and the result be judged."""

import numpy as np

from contract.vectors import Features, l2_normalize
from training.calibration import PAIRS_MIN
from training.errors import DataError
from training.identification import split_probes_gallery
from training.methods.base import Rows, chunks
from training.pairs import IDENTITY, PairedFeatures

SAME_MAX = 1e-6  # float32 cannot tell two unit vectors apart whose entries lie closer


def check_learnable(pairs: PairedFeatures, training: Rows) -> None:
    """Refuse pairs that teach nothing.

    Raises:
        DataError: a space has one dimension, or is constant over the rows to train on.
    """
    for space, features in pairs.features.items():
        if features.shape[1] == 1:
            reason = "has one dimension; of unit length its vectors are 1 and -1, which tell nobody apart"
            raise DataError(str(pairs.path), reason, column=space)
        if not _varies(features, training):
            reason = "all rows to train on hold the same vector, up to its length; nothing can be learned from it"
            raise DataError(str(pairs.path), reason, column=space)


def check_judgeable(pairs: PairedFeatures, held_out: Rows) -> None:
    """Refuse pairs by whose held-out rows no translator can be judged.

    Raises:
        DataError: no held-out probe has a mate, or the impostor pairs are too few for a calibration.
    """
    identities = np.asarray(pairs.identities[held_out])
    probes, enrolled = (len(rows) for rows in split_probes_gallery(identities, seed=0))  # the seed moves no number
    known = len(np.unique(identities[identities >= 0]))
    if probes == 0:
        reason = f"none of the {known} held-out identities has a second face to be found by; each needs at least two"
        raise DataError(str(pairs.path), reason, column=IDENTITY)
    impostors = probes * (enrolled - 1)  # each probe has one mate
    if impostors < PAIRS_MIN:
        reason = (
            f"{known} held-out identities, {len(identities)} faces in all, make {impostors} impostor pairs and a "
            f"calibration needs at least {PAIRS_MIN}; more identities, or more faces of each, are needed"
        )
        raise DataError(str(pairs.path), reason, column=IDENTITY)


def _varies(features: Features, rows: Rows) -> bool:
    first = l2_normalize(np.asarray(features[rows[:1]]))
    directions = (l2_normalize(np.asarray(features[part])) for part in chunks(rows))
    return any(np.abs(part - first).max() > SAME_MAX for part in directions)  # ends at the first that differs
