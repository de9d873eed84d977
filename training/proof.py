"""What the held-out identities say of a translator: quality, calibration, confidence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.calibration import Calibration
from contract.confidence import ConfidenceModel
from contract.manifest import Identification, Quality
from contract.vectors import Features, l2_normalize
from training.bootstrap import count_subjects
from training.calibration import calibrate
from training.comparison import Comparison, compare
from training.confidence import fit_confidence
from training.identification import cmc, judge, measure, split_probes_gallery
from training.lazy_rows import FeatureRows, LazyRows, unit_rows
from training.methods.base import Rows
from training.models.translator import Translator, translate
from training.pairs import PairedFeatures
from training.split import Split

CMC_RANKS = 50
GALLERY_SEED = 0  # one enrolment for all methods, so that their probes face the same gallery


@dataclass(frozen=True, slots=True)
class Stage:
    """Probes and an enrolled gallery of identities nobody trained on, in both spaces; unit length but for the raw.

    A gallery may have a million distractors: it is read from the mapped pairs block by block, and not held.
    """

    probe_identities: NDArray[np.int32]  # [P]
    gallery_identities: NDArray[np.int32]  # [G]
    raw_probes: Features  # [P, ds], source space
    raw_gallery: FeatureRows  # [G, ds], source space
    source_probes: Features  # [P, ds]
    source_gallery: FeatureRows  # [G, ds]
    target_probes: Features  # [P, dt]
    target_gallery: FeatureRows  # [G, dt]

    @property
    def distractors(self) -> int:
        """Gallery faces of somebody no probe shows."""
        return int((~np.isin(self.gallery_identities, self.probe_identities)).sum())

    def compare(self, probes: Features) -> Comparison:
        """Probes in the target space with each face of its gallery."""
        return compare(probes, self.probe_identities, self.target_gallery, self.gallery_identities)

    def compare_sources(self) -> Comparison:
        """Native probes in the source space with each face of its gallery."""
        return compare(self.source_probes, self.probe_identities, self.source_gallery, self.gallery_identities)

    def judge(self, probes: Features) -> Identification:
        """Probes in the target space against its gallery."""
        return judge(probes, self.probe_identities, self.target_gallery, self.gallery_identities)

    def cmc(self, comparison: Comparison) -> list[float]:
        """Share of probes whose subject is among the first 1 ... 50 gallery subjects."""
        curve = cmc(comparison, min(CMC_RANKS, len(self.gallery_identities)))
        return [round(float(share), 5) for share in curve]


def set_stage(pairs: PairedFeatures, split: Split, source: str, target: str) -> Stage:
    """Enrol one face of each held-out identity; the others are probes, lone faces are distractors."""
    identities = np.asarray(pairs.identities[split.held_out])
    probe, gallery = (split.held_out[rows] for rows in split_probes_gallery(identities, GALLERY_SEED))
    return stage_of(pairs, probe, gallery, source, target)


def stage_of(pairs: PairedFeatures, probe: Rows, gallery: Rows, source: str, target: str) -> Stage:
    """These rows as probes and as enrolled gallery."""
    raw, targets = pairs.features[source], pairs.features[target]
    sources = np.asarray(raw[probe])
    return Stage(
        probe_identities=np.asarray(pairs.identities[probe]),
        gallery_identities=np.asarray(pairs.identities[gallery]),
        raw_probes=sources,
        raw_gallery=LazyRows(raw, gallery),
        source_probes=l2_normalize(sources),
        source_gallery=unit_rows(raw, gallery),
        target_probes=l2_normalize(np.asarray(targets[probe])),
        target_gallery=unit_rows(targets, gallery),
    )


@dataclass(frozen=True, slots=True)
class Natives:
    """What each encoder manages by itself, and what comparing across spaces without a translator gives: chance."""

    source: Identification
    target: Identification
    untranslated: Identification


def judge_natives(stage: Stage) -> Natives:
    """Judge both encoders in their own spaces, and raw source probes against the target's gallery."""
    return Natives(
        source=measure(stage.compare_sources()),
        target=stage.judge(stage.target_probes),
        untranslated=stage.judge(resize(stage.source_probes, stage.target_gallery.shape[1])),
    )


@dataclass(frozen=True, slots=True)
class Proof:
    """One translator's judgement."""

    identification: Identification
    gallery_direction: Identification  # the gallery translated instead of the probes
    both_translated: Identification
    calibration: Calibration  # translated probes, native gallery
    native_to_translated: Calibration
    translated_to_translated: Calibration
    hits: NDArray[np.bool_]  # [P]: which probes find their subject first
    cmc: list[float]
    translated: Features  # [P, dt]


def prove(translator: Translator, stage: Stage) -> Proof:
    """Translate the probes and judge them; then the gallery, for native probes and for translated ones."""
    translated, gallery = translate(translator, stage.raw_probes), translated_gallery(translator, stage)
    comparison = stage.compare(translated)
    shown, enrolled = stage.probe_identities, stage.gallery_identities
    return Proof(
        identification=measure(comparison),
        gallery_direction=judge_gallery_direction(translator, stage),
        both_translated=judge(translated, shown, gallery, enrolled),
        calibration=calibrate(translated, shown, stage.target_gallery, enrolled),
        native_to_translated=calibrate(stage.target_probes, shown, gallery, enrolled),
        translated_to_translated=calibrate(translated, shown, gallery, enrolled),
        hits=first_hits(comparison),
        cmc=stage.cmc(comparison),
        translated=translated,
    )


def first_hits(comparison: Comparison) -> NDArray[np.bool_]:
    """Which probes [P] find their subject first."""
    return np.equal(comparison.ranks, 1)


def judge_gallery_direction(translator: Translator, stage: Stage) -> Identification:
    """Table 6: native probes in the target space against a gallery that was translated from the source space."""
    gallery = translated_gallery(translator, stage)
    return judge(stage.target_probes, stage.probe_identities, gallery, stage.gallery_identities)


def translated_gallery(translator: Translator, stage: Stage) -> FeatureRows:
    """The stage's gallery as a migration leaves it: translated [G, dt], block by block whenever it is read."""
    everybody = np.arange(len(stage.raw_gallery))
    dim = stage.target_gallery.shape[1]
    return LazyRows(stage.raw_gallery, everybody, lambda features: translate(translator, features), dim)


def quality(stage: Stage, natives: Natives, proof: Proof, baselines: dict[str, Identification]) -> Quality:
    """The manifest's card: the translator beside both natives and its rivals."""
    return Quality(
        probes=len(stage.probe_identities),
        gallery_subjects=count_subjects(stage.gallery_identities),
        distractors=stage.distractors,
        translated=proof.identification,
        source_native=natives.source,
        target_native=natives.target,
        baselines=baselines,
        gallery_direction=proof.gallery_direction,
        both_translated=proof.both_translated,
    )


def target_calibration(stage: Stage) -> Calibration:
    """Calibration of probes that are already in the target space."""
    return calibrate(stage.target_probes, stage.probe_identities, stage.target_gallery, stage.gallery_identities)


def confidence(pairs: PairedFeatures, split: Split, source: str, target: str) -> ConfidenceModel:
    """How to tell probes like the training faces, and like those that translate well, from others."""
    sources, targets = pairs.features[source], pairs.features[target]
    rows = split.training
    training = LazyRows(sources, rows), LazyRows(targets, rows), np.asarray(pairs.identities[rows])
    return fit_confidence(*training, LazyRows(sources, split.held_out))


def resize(features: Features, dim: int) -> Features:
    """Cut or zero-pad [N, d] to [N, dim]: the only way to compare spaces of unequal dimension at all."""
    resized = np.zeros((len(features), dim), np.float32)
    width = min(dim, features.shape[1])
    resized[:, :width] = features[:, :width]
    return l2_normalize(resized)
