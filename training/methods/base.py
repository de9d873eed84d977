"""What a method is given, and what it gives back."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contract.vectors import Features, l2_normalize
from training.config import FitConfig
from training.history import HISTORY_FILE, Recorded
from training.loop import Learner, OnIteration, run_loop
from training.models.translator import Translator, weights_sha256
from training.pairs import PairedFeatures
from training.parallel import ALONE, Parallel

Rows = NDArray[np.int64]


class Learned(Exception):  # noqa: N818 - no error: it ends a method early
    """What was learned on devices lies in the checkpoint, from which a process alone makes the translator."""


@dataclass(frozen=True, slots=True)
class Fit:
    """One fit: which rows of which pairs, from which space to which, how, and where its checkpoint lies."""

    pairs: PairedFeatures
    rows: Rows  # rows to train on
    source: str
    target: str
    config: FitConfig
    checkpoint: Path
    on_iteration: OnIteration
    parallel: Parallel = ALONE
    teacher: Translator | None = None  # the finished translator that the configuration asks for

    def sources(self, rows: Rows) -> Features:
        """Raw source features [n, ds]."""
        return np.asarray(self.pairs.features[self.source][rows])

    def targets(self, rows: Rows) -> Features:
        """Unit-length target features [n, dt]."""
        return l2_normalize(np.asarray(self.pairs.features[self.target][rows]))

    @property
    def dims(self) -> tuple[int, int]:
        """Source and target dimension."""
        return self.pairs.space(self.source).dim, self.pairs.space(self.target).dim

    def learn(self, learner: Learner) -> None:
        """Run an iterative method's learner to its end, resuming from this fit's checkpoint; its losses are kept.

        Raises:
            Learned: at the end, unless this process learned alone on the CPU in full precision.
        """
        recorded = Recorded(learner, self.config.iterations)
        try:
            self._run(recorded)
        finally:  # of a training that diverged, they show where
            if recorded.history.points and self.parallel.rank == 0:
                recorded.history.write(self.checkpoint.with_name(HISTORY_FILE))
        if self.parallel is not ALONE:
            raise Learned

    def _run(self, learner: Learner) -> None:
        run_loop(
            learner,
            self.config.iterations,
            checkpoint=self.checkpoint,
            identity={
                "configuration": self.config.model_dump_json(),
                "data": self.pairs.fingerprint,
                "rows": rows_sha256(self.rows),
                "source": self.source,
                "target": self.target,
                **({} if self.teacher is None else {"teacher": weights_sha256(self.teacher)}),
            },
            interval_s=self.config.checkpoint_interval_s,
            on_iteration=self.on_iteration,
            parallel=self.parallel,
        )


def rows_sha256(rows: Rows) -> str:
    """Which rows are meant; their number would not tell."""
    return hashlib.sha256(rows.tobytes()).hexdigest()


class FitMethod(Protocol):
    """Turns pairs into a translator."""

    def __call__(self, fit: Fit) -> Translator:
        """Train, resuming from the checkpoint if there is one. Raises TrainingError."""
        ...


MOMENT_ROWS = 8192


def measure_target_mean(fit: Fit) -> NDArray[np.float64]:
    """Mean [dt] of unit-length targets; streamed."""
    total = sum(fit.targets(rows).sum(axis=0, dtype=np.float64) for rows in chunks(fit.rows))
    return np.asarray(total / len(fit.rows))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Whatever torch draws at random inside follows from `seed`, and the caller's random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def preparation(fit: Fit) -> tuple[Tensor, float]:
    """Mean [ds] of unit-length sources, and the scale that makes their average variance 1; streamed."""
    total, power = np.zeros(fit.dims[0]), 0.0
    for rows in chunks(fit.rows):
        x = l2_normalize(fit.sources(rows)).astype(np.float64)
        total += x.sum(0)
        power += float((x**2).sum())
    mean = total / len(fit.rows)
    variance = (power / len(fit.rows) - float(mean @ mean)) / fit.dims[0]
    return torch.from_numpy(mean.astype(np.float32)), float(1 / np.sqrt(max(variance, 1e-12)))


def chunks(rows: Rows) -> list[Rows]:
    """Rows in bounded pieces."""
    return [rows[i : i + MOMENT_ROWS] for i in range(0, len(rows), MOMENT_ROWS)]


class Batches:
    """A seeded order of rows, new each epoch, from which any iteration's batch follows at any time.

    All batches are full: an epoch shows every row once, but for the remainder that would not fill a batch, which is
    another one each epoch. Batch norm would be thrown by a batch of a row or two.
    """

    def __init__(self, rows: Rows, batch_rows: int, seed: int) -> None:
        self.rows = rows
        self.batch_rows = min(batch_rows, len(rows))
        self.seed = seed
        self._epoch = -1
        self._order: Rows = rows

    def at(self, iteration: int) -> Rows:
        """Rows of one iteration's batch."""
        epoch, position = divmod(iteration, len(self.rows) // self.batch_rows)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = self.rows[np.random.default_rng((self.seed, epoch)).permutation(len(self.rows))]
        return self._order[position * self.batch_rows : (position + 1) * self.batch_rows]
