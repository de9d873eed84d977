"""Three trainings of R³AN that are timed side by side, each in a process of its own with its own allocator."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from enum import StrEnum
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from benchmarks.plain_algorithm1 import FaceDataset, PlainTraining, batches
from benchmarks.results import Figure, figure_of
from contract.manifest import Method
from training.algorithm1 import Weights
from training.bootstrap import BOOTSTRAP, PERCENTILES, identity_groups, resamples
from training.cli import ALLOCATOR
from training.config import FitConfig, load_config
from training.fit import load_for
from training.identification import rank_1
from training.methods.base import Fit
from training.methods.r3an import R3ANLearner
from training.methods.registry import empty_translator
from training.models.r3an import R3AN
from training.models.translator import translate
from training.pairs import IMAGE, parquet_files
from training.proof import set_stage
from training.split import Split, split_identities

BATCH_ROWS = 32
LEARNING_RATE = 0.08  # the paper's, section 5.2, as are momentum and weight decay
ANSWER_S_MAX = 1800.0

# Threads that spin while they wait lose two thirds of the plain training's speed as soon as another program runs on the
# machine. That is not what is compared, so both wait alike.
PLAIN_SURROUNDINGS = {"OMP_WAIT_POLICY": "passive"}


class Trainer(StrEnum):
    """Who trains."""

    PLAIN = "plain Algorithm 1"
    OURS = "ours, same objective"
    SHIPPED = "ours, shipped recipe"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is trained: all iterations are known from the start, since the rate falls over them."""

    pairs: Path
    source: str
    target: str
    iterations: int
    scratch: Path  # an empty folder

    def config(self, trainer: Trainer) -> FitConfig:
        """One objective for the two that are compared: all four paths at every iteration, no teacher."""
        if trainer is Trainer.SHIPPED:
            return load_config(Method.R3AN, seed=0)
        return FitConfig(
            method=Method.R3AN,
            iterations=self.iterations,
            batch_rows=BATCH_ROWS,
            optimizer="sgd",
            learning_rate=LEARNING_RATE,
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """What held-out people say of a training: its rank-1, and the mean cosine of translated probes to their targets."""

    rank_1: Figure
    cosine: Figure
    chance: float  # rank-1 of a guess


class RunningTrainer:
    """A training in a process of its own that goes on when it is told to."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def learn(self, iterations: int) -> float:
        """Go on for some iterations; returns face presentations a second."""
        return self._pool.submit(_learn, iterations).result(ANSWER_S_MAX)

    def threads(self) -> int:
        """Threads of torch in that process."""
        return self._pool.submit(torch.get_num_threads).result(ANSWER_S_MAX)

    def save(self, weights: Path) -> None:
        """Write G's and E's weights."""
        self._pool.submit(_save, weights).result(ANSWER_S_MAX)

    def judge(self, weights: Path) -> Judged:
        """Judge saved weights, its own or those of the same networks trained elsewhere."""
        return self._pool.submit(_judge, weights).result(ANSWER_S_MAX)


@contextmanager
def start_trainer(trainer: Trainer, assignment: Assignment) -> Iterator[RunningTrainer]:
    """Start a training: the plain one with glibc's default allocator, ours as `r3an fit` starts it."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin, initargs=(trainer, assignment)) as pool:
        running = RunningTrainer(pool)
        with _surroundings(PLAIN_SURROUNDINGS if trainer is Trainer.PLAIN else ALLOCATOR):
            running.threads()  # the process starts with its first task, and reads its surroundings then
        yield running


@contextmanager
def _surroundings(allocator: Mapping[str, str]) -> Iterator[None]:
    """Environment of processes that start inside: the allocator's variables are these and no others."""
    before = {name: os.environ.pop(name) for name in ALLOCATOR if name in os.environ}
    os.environ.update(allocator)
    try:
        yield
    finally:
        for name in ALLOCATOR:
            os.environ.pop(name, None)
        os.environ.update(before)


@dataclass(slots=True)
class _Training:
    """The one training of this process."""

    learner: R3ANLearner
    learn: Callable[[int], object]  # one iteration, by its number
    split: Split
    done: int = 0


_trainings: list[_Training] = []  # a worker process keeps its own between tasks


def _begin(trainer: Trainer, assignment: Assignment) -> None:
    methods = [Method.FC if trainer is Trainer.PLAIN else Method.R3AN]  # the plain one is given no decoded images
    folder = assignment.scratch / trainer.name
    pairs = load_for(assignment.pairs, assignment.source, assignment.target, methods, folder)
    split, config = split_identities(pairs), assignment.config(trainer)
    fit = Fit(
        pairs, split.training, assignment.source, assignment.target, config, folder / "checkpoint.pt", lambda *_: None
    )
    if config.teacher is not None:  # untrained: its labels cost the same, and of this recipe only the speed is asked
        fit = replace(fit, teacher=empty_translator(config.teacher, *fit.dims).eval())
    learner = R3ANLearner(fit)
    _trainings.append(_Training(learner, plain(learner) if trainer is Trainer.PLAIN else learner.learn, split))


def plain(learner: R3ANLearner) -> Callable[[int], float]:
    """Plain training from the learner's initial weights, on its rows; its networks are trained, not by it."""
    fit, config = learner.fit, learner.fit.config
    assert isinstance(learner.network, R3AN)  # noqa: S101 - for the type checker
    for part in (learner.network, learner.discriminator):
        part.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch's stub lacks this form
        part.train()
    training = PlainTraining(
        learner.network,
        learner.discriminator,
        Weights(
            config.reconstruction_weight,
            config.adversarial_weight,
            config.representation_weight,
            config.regression_weight,
        ),
        learning_rate=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        iterations=config.iterations,
    )
    sources = learner.prepare(torch.from_numpy(fit.sources(fit.rows)))  # [N, ds]
    targets = torch.from_numpy(fit.targets(fit.rows)) * fit.dims[1] ** 0.5  # [N, dt]
    shown = batches(FaceDataset(sources, _encoded(fit), targets), config.batch_rows, config.seed)
    return lambda _: training.step(*next(shown))


def _encoded(fit: Fit) -> list[bytes]:
    """JPEG or PNG of the rows to train on."""
    columns = [pq.read_table(file, columns=[IMAGE])[IMAGE] for file in parquet_files(fit.pairs.path)]
    encoded = [face.as_py() for column in columns for face in column]
    return [encoded[row] for row in fit.rows]


def _learn(iterations: int) -> float:
    (training,) = _trainings
    begun, training.done = training.done, training.done + iterations
    return faces_a_second(training.learner.fit.config, training.learn, range(begun, training.done))


def faces_a_second(config: FitConfig, learn: Callable[[int], object], iterations: range) -> float:
    """Learn at these iterations; returns real faces presented a second. What a teacher labels is no face."""
    started_at = time.perf_counter()
    for iteration in iterations:
        learn(iteration)
    return len(iterations) * config.real_rows / (time.perf_counter() - started_at)


def _save(weights: Path) -> None:
    (training,) = _trainings
    torch.save(training.learner.network.state_dict(), weights)


def _judge(weights: Path) -> Judged:
    (training,) = _trainings
    learner, fit = training.learner, training.learner.fit
    own = deepcopy(learner.network.state_dict())
    learner.network.load_state_dict(torch.load(weights, weights_only=True))
    translator = learner.translator()
    learner.network.load_state_dict(own)
    stage = set_stage(fit.pairs, training.split, fit.source, fit.target)
    translated = translate(translator, stage.raw_probes)  # [P, dt]
    cosines = (translated * stage.target_probes).sum(axis=1)  # [P]
    groups, count = identity_groups(stage.probe_identities)
    sums, probes = np.bincount(groups, weights=cosines, minlength=count), np.bincount(groups, minlength=count)  # [I]
    drawn = np.concatenate([(w @ sums) / (w @ probes) for w in resamples(count, BOOTSTRAP, seed=0)])
    low, high = np.percentile(drawn, PERCENTILES)
    rank = rank_1(stage.compare(translated))
    return Judged(
        rank_1=figure_of(rank),
        cosine=Figure(value=float(cosines.mean()), low=float(low), high=float(high)),
        chance=1 / len(stage.gallery_identities),
    )
