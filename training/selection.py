"""A fit that chooses its own method: cross-validated over identities, then trained on all of them."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.manifest import Identification, Method, Quality
from contract.vectors import Features, l2_normalize
from training.bootstrap import count_subjects
from training.calibration import Search, calibrate_pooled
from training.config import FitConfig, load_config
from training.expectation import Expectation, write_expectation
from training.fit import FittedFacts, check_free, fit_pairs, load_for
from training.folds import confusion, has_second_faces, judge_pooled, set_folds
from training.lazy_rows import FeatureRows
from training.loop import OnIteration
from training.methods.base import Rows
from training.models.translator import Translator, translate
from training.pairs import DISTRACTOR, OnRows, PairedFeatures
from training.preflight import check_learnable
from training.proof import Stage, confidence, translated_gallery
from training.split import Split, identity_folds
from training.workspace import workspace

FOLDS = 5
SELECTION = "selection"  # folder of the folds' fits
CONFUSION_ROWS_MAX = 2048  # of each fold, drawn by seed

# Methods that need no images, the simplest first, which wins a tie; with settings that suit few pairs.
METHODS = (Method.PROCRUSTES, Method.AFFINE, Method.KERNEL_RIDGE, Method.RESIDUAL)
SETTINGS = {Method.RESIDUAL: "residual-few-pairs.toml"}

OnFold = Callable[[int, int], None]  # folds fitted, in all
OnMethod = Callable[[Method], OnIteration]


def candidates(seed: int) -> tuple[FitConfig, ...]:
    """What is chosen from. Each chooses its own penalty on training identities set aside, where it has one."""
    return tuple(_configuration(method, seed) for method in METHODS)


def _configuration(method: Method, seed: int) -> FitConfig:
    shipped = resources.files("training") / "configs" / SETTINGS.get(method, f"{method}.toml")
    with resources.as_file(shipped) as file:
        return load_config(method, file, seed=seed)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Pairs, direction, and the folds that methods are compared on."""

    pairs: PairedFeatures
    source: str
    target: str
    everyone: Rows  # all but distractors: what the chosen method is trained on
    folds: list[Split]
    stages: list[Stage]  # of each fold
    same_photo: bool
    tick: Callable[[], None]  # called after each fold of each method

    @property
    def sides(self) -> tuple[str, str]:
        """Source and target."""
        return self.source, self.target

    @property
    def probes(self) -> int:
        """Probes of all folds."""
        return sum(len(stage.probe_identities) for stage in self.stages)

    @property
    def largest(self) -> Stage:
        """The fold with the largest gallery; the others' are about as large."""
        return max(self.stages, key=lambda stage: len(stage.gallery_identities))

    @property
    def native_probes(self) -> list[Features]:
        """Probes of each fold [P, dt] as the target's encoder sees them."""
        return [stage.target_probes for stage in self.stages]

    def searches(self, probes: list[Features], galleries: Sequence[FeatureRows] | None = None) -> list[Search]:
        """Probes of each fold [P, dt] with the fold's gallery in the target space, its own or this one [G, dt]."""
        galleries = galleries or [stage.target_gallery for stage in self.stages]
        return [
            (shown, stage.probe_identities, gallery, stage.gallery_identities)
            for shown, gallery, stage in zip(probes, galleries, self.stages, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Tried:
    """A method's translations of faces that it was not trained on."""

    config: FitConfig
    loss: float
    probes: list[Features]  # of each fold, [P, dt]


def fit_chosen(
    path: Path, source: str, target: str, seed: int, out: Path, on_rows: OnRows, on_fold: OnFold, on_method: OnMethod
) -> tuple[FittedFacts, Expectation]:
    """Choose a method by cross-validation, train it on all identities, and say beside it what quality to expect.

    `out` receives the fit, expectation.json and selection/<method>/<fold>/. Interrupted, it takes up where it stopped
    when run again.

    Raises:
        TrainingError: pairs that cannot be used, are too few to be divided or judged, or a folder of another training.
    """
    configs, counter = candidates(seed), itertools.count(1)

    def tick() -> None:
        on_fold(next(counter), FOLDS * len(configs))

    with workspace(out) as copy:
        pairs = load_for(path, source, target, list(METHODS), copy, on_rows)
        choice = _set_up(pairs, source, target, seed, tick)
        check_free(pairs, choice.everyone, source, target, configs, out)
        tried = [_try(choice, config, out / SELECTION / config.method) for config in configs]
        best = min(tried, key=lambda attempt: attempt.loss)
        on_iteration = on_method(best.config.method)
        _, facts = fit_pairs(pairs, choice.everyone, source, target, best.config, out, on_iteration)
        fitted = [_fit_fold(choice, best.config, out / SELECTION / best.config.method, k) for k in range(FOLDS)]
        galleries = [translated_gallery(*fold) for fold in zip(fitted, choice.stages, strict=True)]
        expectation = _expect(choice, tried, best, galleries, facts)
        write_expectation(expectation, out)
    return facts, expectation


def _set_up(pairs: PairedFeatures, source: str, target: str, seed: int, tick: Callable[[], None]) -> _Choice:
    everyone = np.flatnonzero(np.asarray(pairs.identities) != DISTRACTOR)
    folds = identity_folds(pairs, FOLDS, seed)
    for fold in folds:
        check_learnable(pairs, fold.training)
    same_photo = not has_second_faces(pairs)
    stages = set_folds(pairs, folds, source, target, same_photo=same_photo)
    return _Choice(pairs, source, target, everyone, folds, stages, same_photo, tick)


def _try(choice: _Choice, config: FitConfig, out: Path) -> _Tried:
    """Fit a method without each fold in turn, and translate that fold by it."""
    losses, probes = [], []
    for number, (fold, stage) in enumerate(zip(choice.folds, choice.stages, strict=True)):
        translator = _fit_fold(choice, config, out, number)
        losses.append(_confusion(choice, translator, fold, config.seed))
        probes.append(translate(translator, stage.raw_probes))
        choice.tick()
    return _Tried(config, float(np.concatenate(losses).mean()), probes)


def _fit_fold(choice: _Choice, config: FitConfig, out: Path, number: int) -> Translator:
    """A method fitted without one fold; read again where that was done before."""
    rows = choice.folds[number].training
    return fit_pairs(choice.pairs, rows, *choice.sides, config, out / str(number), lambda *_: None)[0]


def _confusion(choice: _Choice, translator: Translator, fold: Split, seed: int) -> NDArray[np.float64]:
    """Loss [N] of held-out faces; it needs no second face of anybody."""
    known = fold.held_out[choice.pairs.identities[fold.held_out] != DISTRACTOR]
    rows = np.random.default_rng(seed).permutation(known)[:CONFUSION_ROWS_MAX]
    sources, targets = (np.asarray(choice.pairs.features[space][rows]) for space in choice.sides)
    return confusion(translate(translator, sources), l2_normalize(targets), np.asarray(choice.pairs.identities[rows]))


def _expect(
    choice: _Choice, tried: list[_Tried], best: _Tried, galleries: list[FeatureRows], facts: FittedFacts
) -> Expectation:
    """`galleries`: each fold's [G, dt] as the best method translates it without having been trained on the fold."""
    winner = best.config.method
    judged = {attempt.config.method: judge_pooled(choice.searches(attempt.probes)) for attempt in tried}
    natives = None if choice.same_photo else _judge_natives(choice)
    rows = {str(method): rates for method, rates in judged.items()}
    if natives is not None:
        rows |= {"source native": natives[0], "target native": natives[1]}
    return Expectation(
        source=choice.source,
        target=choice.target,
        winner=winner,
        training=facts.training,
        folds=FOLDS,
        sought="same photo" if choice.same_photo else "second face",
        probes=choice.probes,
        gallery_subjects=count_subjects(choice.largest.gallery_identities),
        losses={attempt.config.method: attempt.loss for attempt in tried},
        identification=rows,
        quality=None if natives is None else _quality(choice, best, galleries, judged, natives),
        calibration=calibrate_pooled(choice.searches(best.probes)),
        target_calibration=calibrate_pooled(choice.searches(choice.native_probes)),
        native_to_translated=calibrate_pooled(choice.searches(choice.native_probes, galleries)),
        translated_to_translated=calibrate_pooled(choice.searches(best.probes, galleries)),
        confidence=confidence(choice.pairs, choice.folds[0], *choice.sides),
    )


def _quality(
    choice: _Choice,
    best: _Tried,
    galleries: list[FeatureRows],
    judged: dict[Method, Identification],
    natives: tuple[Identification, Identification],
) -> Quality:
    return Quality(
        folds=FOLDS,
        probes=choice.probes,
        gallery_subjects=count_subjects(choice.largest.gallery_identities),
        distractors=choice.largest.distractors,
        translated=judged[best.config.method],
        source_native=natives[0],
        target_native=natives[1],
        baselines={str(method): rates for method, rates in judged.items() if method != best.config.method},
        gallery_direction=judge_pooled(choice.searches(choice.native_probes, galleries)),
        both_translated=judge_pooled(choice.searches(best.probes, galleries)),
    )


def _judge_natives(choice: _Choice) -> tuple[Identification, Identification]:
    """Both encoders in their own spaces, on the same probes and galleries."""
    source = [(s.source_probes, s.probe_identities, s.source_gallery, s.gallery_identities) for s in choice.stages]
    return judge_pooled(source), judge_pooled(choice.searches(choice.native_probes))
