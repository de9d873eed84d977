"""A fit that chooses its own method from few pairs: how long it takes, and whether what it expects comes true."""

import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.results import Claim, Figure, Result, claim, figure_of, result_of
from contract.manifest import Identification
from training.expectation import Expectation
from training.fit import load, load_for
from training.models.translator import translate
from training.pairs import IDENTITY, IMAGE_ID, parquet_files
from training.proof import Stage, set_stage
from training.selection import fit_chosen
from training.split import split_identities
from training.training_sets import nested_part
from training.workspace import workspace

SIZES = (500, 1000, 2000)
SECONDS_MAX = 120.0
FAR = "1e-3"


@dataclass(frozen=True, slots=True)
class Trial:
    """One size: what was expected by cross-validation, and what came true for people nobody trained on."""

    rows: int
    seconds: float
    expectation: Expectation
    actual: Identification


def try_few_pairs(path: Path, source: str, target: str, out: Path) -> list[Trial]:
    """Fit from ever more pairs of the training identities, without images, and judge on the held-out ones."""
    with workspace(out) as copy:
        pairs = load_for(path, source, target, [], copy / "pairs")
        split = split_identities(pairs)
        stage = set_stage(pairs, split, source, target)
        trials = []
        for size in SIZES:
            rows = nested_part(pairs, split.training, size, seed=0)
            file = copy / f"{size}.parquet"
            pq.write_table(_columns(path, source, target).take(rows), file)
            trials.append(_try(file, len(rows), source, target, out / str(size), stage))
    return trials


def _columns(path: Path, source: str, target: str) -> pa.Table:
    return pa.concat_tables(pq.read_table(f, columns=[IMAGE_ID, IDENTITY, source, target]) for f in parquet_files(path))


def _try(file: Path, rows: int, source: str, target: str, out: Path, stage: Stage) -> Trial:
    started_at = time.monotonic()
    _, expectation = fit_chosen(file, source, target, 0, out, _ignore, _ignore, lambda _: _ignore)
    seconds = time.monotonic() - started_at
    translator, _ = load(out)
    return Trial(rows, seconds, expectation, stage.judge(translate(translator, stage.raw_probes)))


def _ignore(*_: object) -> None:
    """Nobody watches."""


def few_pairs_result(name: str, command: str, trials: list[Trial]) -> Result:
    """Expected beside actual for each size."""
    figures: dict[str, float | Figure] = {}
    claims: list[Claim] = []
    for trial in trials:
        winner, size = trial.expectation.winner, f"{trial.rows} pairs"
        expected = trial.expectation.identification[str(winner)]
        figures[f"{size}: seconds"] = round(trial.seconds, 1)
        figures[f"{size}: expected rank-1 of {winner}, {trial.expectation.gallery_subjects} subjects"] = figure_of(
            expected.rank_1
        )
        figures[f"{size}: actual rank-1 of {winner}, all held-out subjects"] = figure_of(trial.actual.rank_1)
        figures[f"{size}: expected TAR at FAR {FAR}"] = figure_of(expected.tar_at_far[FAR])
        figures[f"{size}: actual TAR at FAR {FAR}"] = figure_of(trial.actual.tar_at_far[FAR])
        claims.append(claim(f"{size}: seconds to choose and train", trial.seconds, "<=", SECONDS_MAX))
        apart = max(
            trial.actual.tar_at_far[FAR].low - expected.tar_at_far[FAR].high,
            expected.tar_at_far[FAR].low - trial.actual.tar_at_far[FAR].high,
        )
        claims.append(claim(f"{size}: gap between the intervals of expected and actual TAR", apart, "<=", 0.0))
    seconds = sum(trial.seconds for trial in trials)
    return result_of(name=name, command=command, seconds=seconds, figures=figures, claims=claims)
