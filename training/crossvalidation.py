"""K-fold cross-validation: each identity is held out once, and each method judged on all people without knowing any."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from contract.manifest import Training
from contract.vectors import Features
from training.bootstrap import count_subjects, paired_differences
from training.comparison import Comparison, compare, pool
from training.contest import Contest, OnMethod, OnStage
from training.errors import DataError, DivergedError
from training.fit import fit_pairs, load_for
from training.folds import has_second_faces
from training.identification import FARS, measure
from training.lazy_rows import FeatureRows
from training.models.translator import translate
from training.pairs import IDENTITY, PairedFeatures
from training.preflight import check_learnable
from training.proof import Stage, first_hits, set_stage
from training.split import Split, identity_folds
from training.workspace import workspace, write_atomically

CROSSVALIDATION_FILE, RUNS = "crossvalidation.json", "runs"
FOLDS_MIN, FOLDS_MAX = 2, 100
SOURCE_NATIVE, TARGET_NATIVE = "source native", "target native"
# One fold may hold all the highest impostor pairs of all folds; twice as many, as folds differ in size.
TAIL_SHARE_A_FOLD = 2 * max(map(float, FARS))

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Fold:
    """One fold's judgement, and what it is pooled from: the comparisons of all methods and both natives.

    Of a fold without a probe there are none.
    """

    summary: Json
    comparisons: dict[str, Comparison]
    diverged: dict[str, str]  # method -> what became of its training


def cross_validate(
    contest: Contest, out: Path, *, folds: int, seed: int, on_stage: OnStage, on_method: OnMethod
) -> Json:
    """Train each method once without each fold's identities, judge it on that fold, and pool all folds.

    Distractors are in every fold's gallery. `out` receives fold-<k>/runs/<method>/, from which an interrupted run goes
    on, and crossvalidation.json, which is also returned. The pooled figures are over the probes of all folds, each
    against its own fold's gallery; their intervals draw identities. A method that diverges in a fold is not pooled.

    Raises:
        TrainingError: bad pairs, too few identities for the folds, one face of each, or a training that failed.
    """
    with workspace(out) as copy:
        on_stage("reading pairs")
        pairs = load_for(contest.pairs, contest.source, contest.target, contest.involved, copy)
        splits = identity_folds(pairs, folds, seed)
        _check_judgeable(pairs)  # before anything is trained
        for split in splits:
            check_learnable(pairs, split.training)
        judged, diverged = _judge_folds(contest, pairs, splits, out, on_stage, on_method)
        on_stage("pooling the folds")
        summary = {
            "source": contest.source,
            "target": contest.target,
            "folds": folds,
            "seed": seed,
            "data_fingerprint": pairs.fingerprint,
            "per_fold": [fold.summary for fold in judged],
            **_pooled(
                [fold.comparisons for fold in judged if fold.comparisons],
                [str(method) for method in contest.methods if method not in diverged],
            ),
            "diverged": diverged,
        }
        write_atomically(out / CROSSVALIDATION_FILE, json.dumps(summary, indent=2) + "\n")
    return summary


def _check_judgeable(pairs: PairedFeatures) -> None:
    """One probe in any fold is enough: each fold has two identities at least, so that it has an impostor as well."""
    if not has_second_faces(pairs):
        raise DataError(str(pairs.path), "no identity has a second face to be found by", column=IDENTITY)


def _judge_folds(
    contest: Contest,
    pairs: PairedFeatures,
    splits: list[Split],
    out: Path,
    on_stage: OnStage,
    on_method: OnMethod,
) -> tuple[list[_Fold], dict[str, str]]:
    """Every fold, and where and how methods diverged; these are not trained on later folds, as they cannot be pooled.

    Raises:
        DivergedError: no method is left.
    """
    judged: list[_Fold] = []
    diverged: dict[str, str] = {}
    for number, split in enumerate(splits, 1):
        on_stage(f"fold {number} of {len(splits)}")
        left = replace(contest, configs=tuple(config for config in contest.configs if config.method not in diverged))
        fold = _judge_fold(left, pairs, split, out / f"fold-{number}" / RUNS, len(splits), on_method)
        judged.append(fold)
        for name, reason in fold.diverged.items():
            diverged[name] = f"fold {number}: {reason}"
            on_stage(f"{name}, {diverged[name]}")
        if len(diverged) == len(contest.configs):
            raise DivergedError("; ".join(f"{name}, {reason}" for name, reason in diverged.items()))
    return judged, diverged


def _judge_fold(
    contest: Contest, pairs: PairedFeatures, split: Split, runs: Path, folds: int, on_method: OnMethod
) -> _Fold:
    stage = set_stage(pairs, split, contest.source, contest.target)
    if len(stage.probe_identities) == 0:  # lone faces only: a training would be judged by nobody
        return _Fold(_summary(stage, {}, {}), {}, {})

    def against(gallery: FeatureRows, probes: Features) -> Comparison:
        share = min(1.0, folds * TAIL_SHARE_A_FOLD)
        return compare(probes, stage.probe_identities, gallery, stage.gallery_identities, tail_share=share)

    training: dict[str, Training] = {}
    comparisons: dict[str, Comparison] = {}
    diverged: dict[str, str] = {}
    for config in contest.configs:
        name, on_iteration = str(config.method), on_method(config.method)
        try:
            translator, facts = fit_pairs(
                pairs, split.training, contest.source, contest.target, config, runs / name, on_iteration
            )
        except DivergedError as error:  # a result like others, as in a bake-off
            diverged[name] = str(error)
            continue
        training[name] = facts.training
        comparisons[name] = against(stage.target_gallery, translate(translator, stage.raw_probes))
    comparisons[SOURCE_NATIVE] = against(stage.source_gallery, stage.source_probes)
    comparisons[TARGET_NATIVE] = against(stage.target_gallery, stage.target_probes)
    return _Fold(_summary(stage, training, comparisons), comparisons, diverged)


def _summary(stage: Stage, training: dict[str, Training], comparisons: dict[str, Comparison]) -> Json:
    return {
        "probes": len(stage.probe_identities),
        "gallery_subjects": count_subjects(stage.gallery_identities),
        "distractors": stage.distractors,
        "training": {name: facts.model_dump(mode="json") for name, facts in training.items()},
        "identification": _identification(comparisons),
    }


def _pooled(folds: list[dict[str, Comparison]], methods: list[str]) -> Json:
    names = [*methods, SOURCE_NATIVE, TARGET_NATIVE]
    pooled = {name: pool([fold[name] for fold in folds]) for name in names}
    identities = pooled[TARGET_NATIVE].probe_identities
    differences = paired_differences({name: first_hits(pooled[name]) for name in methods}, identities)
    return {
        "probes": len(identities),
        "probe_subjects": len(np.unique(identities)),
        "identification": _identification(pooled),
        "rank_1_difference": {a: {b: asdict(d) for b, d in row.items()} for a, row in differences.items()},
    }


def _identification(comparisons: dict[str, Comparison]) -> dict[str, Json]:
    return {name: measure(comparison).model_dump(mode="json") for name, comparison in comparisons.items()}
