"""How far confidence can be trusted: what it tells from faces, and what abstaining by it buys a translator."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.confidence import ConfidenceModel
from contract.manifest import Interval, Quality
from training.abstention import abstention_curve, auroc, dark_crops, impostures
from training.calibration import check_calibration
from training.pairs import DISTRACTOR, PairedFeatures
from training.proof import Proof, Stage, confidence
from training.split import Split

FACES_MAX = 10_000  # held-out faces, drawn by seed, that others are told from
FACES_SEED = 0


@dataclass(frozen=True, slots=True)
class Trust:
    """The confidence model of one source and target, which all their translators share, and how it was judged."""

    confidence: ConfidenceModel
    scores: NDArray[np.float32]  # [P]: confidence in each of the stage's probes
    auroc: dict[str, Interval]  # kind of vector that is no face of the source -> how well faces are told from it


def judge_confidence(pairs: PairedFeatures, split: Split, stage: Stage, source: str, target: str) -> Trust:
    """Fit the confidence model and judge it on held-out faces.

    No second set of faces is at hand to stand for another domain. Where there are crops, `dark-crops` stands in: the
    darkest tenth of the held-out ones against the rest. They are real faces, so that little above .5 is no fault.
    """
    model = confidence(pairs, split, source, target)
    rows = split.held_out
    if len(rows) > FACES_MAX:
        rows = np.sort(np.random.default_rng(FACES_SEED).choice(rows, FACES_MAX, replace=False))
    sources, identities = np.asarray(pairs.features[source][rows]), np.asarray(pairs.identities[rows])
    faces = model.score(sources)
    areas: dict[str, Interval] = {}
    for kind, made in impostures(sources, np.asarray(pairs.features[target][rows])).items():
        whose = np.full_like(identities, DISTRACTOR) if kind == "gaussian-noise" else identities
        areas[kind] = auroc(faces, identities, model.score(made), whose)
    if pairs.images is not None:
        dark = dark_crops(pairs.images[rows])
        if dark.any():
            areas["dark-crops"] = auroc(faces[~dark], identities[~dark], faces[dark], identities[dark])
    return Trust(model, model.score(stage.raw_probes), areas)


def with_trust(judged: Quality, trust: Trust, hits: NDArray[np.bool_], stage: Stage) -> Quality:
    """A translator's card with what abstaining buys it: `hits` [P] are the probes that find their subject first."""
    curve = abstention_curve(trust.scores, hits, stage.probe_identities)
    return judged.model_copy(update={"abstention": curve, "auroc": trust.auroc})


def calibration_check(stage: Stage, proof: Proof) -> dict[str, float]:
    """False-match rate, as written, to the one that translated probes show on other people at its threshold."""
    return check_calibration(proof.translated, stage.probe_identities, stage.target_gallery, stage.gallery_identities)
