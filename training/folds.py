"""Judge what was trained without a fold's identities on that fold, and pool all folds into one judgement."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.manifest import Identification
from contract.vectors import Features
from training.calibration import PAIRS_MIN, Search
from training.comparison import Identities, compare, pool
from training.errors import DataError
from training.identification import measure
from training.losses import CONTRAST_TEMPERATURE
from training.pairs import DISTRACTOR, IDENTITY, PairedFeatures
from training.proof import Stage, set_stage, stage_of
from training.split import Split

# Five times what a rate needs: one fold of five may hold all the highest impostor pairs.
TAIL_SHARE = 1e-2


def has_second_faces(pairs: PairedFeatures) -> bool:
    """Whether any identity has two faces, so that one can be enrolled and the other look for it."""
    identities = np.asarray(pairs.identities)
    known = identities[identities != DISTRACTOR]
    return len(np.unique(known)) < len(known)


def set_folds(
    pairs: PairedFeatures, folds: Sequence[Split], source: str, target: str, *, same_photo: bool
) -> list[Stage]:
    """Each fold's held-out identities as probes and gallery; with `same_photo` each face looks for its own target.

    Raises:
        DataError: the impostor pairs of all folds are too few for a calibration.
    """
    stages = [_set_fold(pairs, fold, source, target, same_photo=same_photo) for fold in folds]
    impostors = sum(len(stage.probe_identities) * (len(stage.gallery_identities) - 1) for stage in stages)
    if impostors < PAIRS_MIN:
        reason = (
            f"{len(folds)} folds make {impostors} impostor pairs and a calibration needs at least {PAIRS_MIN}; "
            "more identities, or more faces of each, are needed"
        )
        raise DataError(str(pairs.path), reason, column=IDENTITY)
    return stages


def _set_fold(pairs: PairedFeatures, fold: Split, source: str, target: str, *, same_photo: bool) -> Stage:
    if not same_photo:
        return set_stage(pairs, fold, source, target)
    known = pairs.identities[fold.held_out] != DISTRACTOR
    return stage_of(pairs, fold.held_out[known], fold.held_out, source, target)


def judge_pooled(searches: Sequence[Search]) -> Identification:
    """Every measure over searches [P, d] of galleries [G, d] whose probes share no identity; some may have no probe.

    Raises:
        ValueError: as `identification.judge`, of all searches together.
    """
    return measure(pool([compare(*search, tail_share=TAIL_SHARE) for search in searches if len(search[0])]))


def confusion(translated: Features, targets: Features, identities: Identities) -> NDArray[np.float64]:
    """How far each translation [N, dt] is from being told from others' targets [N, dt]: a loss [N], 0 at best.

    InfoNCE as in `losses.contrastive_loss`, but another face of the same identity is nobody to be told from. Unlike
    rank-1 it does not end at 1 in a small gallery, and it needs no second face.
    """
    logits = translated.astype(np.float64) @ targets.T / CONTRAST_TEMPERATURE  # [N, N]
    own = np.diag(logits).copy()
    same = identities[:, None] == identities
    np.fill_diagonal(same, val=False)
    logits[same] = -np.inf
    highest = logits.max(axis=1)
    return np.asarray(highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1)) - own)
