"""What training costs: beside a plain Algorithm 1 in one run, and in memory over a file ten times as long."""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory import COPIES, anonymous_peak_mb, repeat_pairs
from benchmarks.results import Claim, Figure, Result, claim, result_of, spread_of
from benchmarks.trainers import BATCH_ROWS, Assignment, Judged, RunningTrainer, Trainer, start_trainer
from contract.manifest import Method
from training.encoders.train import EncoderKind
from training.synthesize import SPACES, synthesize

SPEED_GOAL = 1.5
MEMORY_GOAL = 1.15
WARM_UP_ITERATIONS = 2  # not timed, but learned from
ROUNDS = 5
ROUND_ITERATIONS = 12
COMPARED = (Trainer.PLAIN, Trainer.OURS)

IDENTITIES, FACES = 1600, 4
ENCODER_ITERATIONS = 100  # of each; the translation is what is measured, not the encoders

FC_BATCH_ROWS = 128
R3AN_BATCH_ROWS, R3AN_ITERATIONS = 32, 6  # all photos are decoded first; an epoch of the longer file would be 1,200
TRAINED = {Method.FC: "an epoch", Method.R3AN: f"{R3AN_ITERATIONS} batches of {R3AN_BATCH_ROWS}"}

OnStage = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Material:
    """Paired features with images, and the direction to train."""

    pairs: Path
    source: str
    target: str


def paint_material(folder: Path, on_progress: Callable[[str, int, int], None]) -> Material:
    """Synthetic pairs, so that the measurement needs no data set."""
    pairs, iterations = folder / "pairs.parquet", dict.fromkeys(EncoderKind, ENCODER_ITERATIONS)
    synthesize(
        pairs,
        identities=IDENTITIES,
        faces_per_identity=FACES,
        seed=0,
        on_progress=on_progress,
        iterations=iterations,
    )
    return Material(pairs, *SPACES)


def training_result(command: str, material: Material, on_stage: OnStage) -> Result:
    """Speed and outcome of the plain training and ours, the shipped recipe's speed, and the memory of `r3an fit`."""
    started_at = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures, claims = _compare(material, Path(folder), on_stage)
    with tempfile.TemporaryDirectory() as folder:
        peaks = _peaks(material, Path(folder), on_stage)
    memory, claims_on_memory = memory_figures(peaks)
    return result_of(
        name="training",
        command=command,
        seconds=time.monotonic() - started_at,
        figures=figures | memory,
        claims=[*claims, *claims_on_memory],
    )


def memory_figures(peaks: Mapping[tuple[Method, int], float]) -> tuple[dict[str, float | Figure], list[Claim]]:
    """Figures and claims, which say how much was trained, of megabytes by method and by copies of the file."""
    figures: dict[str, float | Figure] = {}
    claims: list[Claim] = []
    for method, trained in TRAINED.items():
        once, repeated = peaks[method, 1], peaks[method, COPIES]
        what = f"{method}: peak anonymous memory, {trained}"
        figures |= {f"{what}, MB": once, f"{what} of the file {COPIES} times, MB": repeated}
        claims.append(
            claim(f"{what} of the file {COPIES} times, over that of the file", repeated / once, "<=", MEMORY_GOAL)
        )
    return figures, claims


def _compare(material: Material, folder: Path, on_stage: OnStage) -> tuple[dict[str, float | Figure], list[Claim]]:
    """Rounds of all trainings in turn, so that the machine's drift meets all alike; then what both have learned."""
    iterations = WARM_UP_ITERATIONS + ROUNDS * ROUND_ITERATIONS
    assignment = Assignment(material.pairs, material.source, material.target, iterations, folder)
    with ExitStack() as stack:
        on_stage("starting three trainings")
        running = {trainer: stack.enter_context(start_trainer(trainer, assignment)) for trainer in Trainer}
        threads = {trainer.threads() for trainer in running.values()}
        rates = _rates(running, on_stage)
        on_stage("judging both")
        judged = {trainer: _judge(running, trainer, folder) for trainer in COMPARED}
    if len(threads) > 1:
        raise RuntimeError(f"the trainings run on unequal numbers of threads: {threads}")
    ratios = [ours / plain for plain, ours in zip(rates[Trainer.PLAIN], rates[Trainer.OURS], strict=True)]
    figures: dict[str, float | Figure] = {
        "threads of each training": float(threads.pop()),
        "face presentations of each of the two compared": float(iterations * BATCH_ROWS),
        **{f"{trainer}: face presentations/s": spread_of(rates[trainer]) for trainer in Trainer},
        "ours over plain, same objective": spread_of(ratios),
    }
    for trainer, outcome in judged.items():
        figures[f"{trainer}: held-out rank-1"] = outcome.rank_1
        figures[f"{trainer}: held-out cosine to the target"] = outcome.cosine
    figures["rank-1 of a guess"] = judged[Trainer.OURS].chance
    speed = claim("face presentations/s over plain Algorithm 1's", statistics.median(ratios), ">=", SPEED_GOAL)
    return figures, [speed, _same_rank_1(judged)]


def _judge(running: dict[Trainer, RunningTrainer], trainer: Trainer, folder: Path) -> Judged:
    """Both in one process and by one procedure: batch-norm statistics of the path that serves, as `r3an fit` ends."""
    weights = folder / f"{trainer.name}.pt"
    running[trainer].save(weights)
    return running[Trainer.OURS].judge(weights)


def _rates(running: dict[Trainer, RunningTrainer], on_stage: OnStage) -> dict[Trainer, list[float]]:
    """Face presentations a second of each training in each round."""
    for trainer in running.values():
        trainer.learn(WARM_UP_ITERATIONS)
    rates: dict[Trainer, list[float]] = {trainer: [] for trainer in running}
    for number in range(1, ROUNDS + 1):
        on_stage(f"round {number} of {ROUNDS}")
        for name, trainer in running.items():
            rates[name].append(trainer.learn(ROUND_ITERATIONS))
    return rates


def _same_rank_1(judged: dict[Trainer, Judged]) -> Claim:
    """Each within the other's interval, at the narrower one's half width."""
    plain, ours = (judged[trainer].rank_1 for trainer in COMPARED)
    half_width = min((interval.high - interval.low) / 2 for interval in (plain, ours))
    what = "held-out rank-1, ours from plain's, beside half the narrower interval"
    return claim(what, abs(ours.value - plain.value), "<=", round(half_width, 5))


def _peaks(material: Material, folder: Path, on_stage: OnStage) -> dict[tuple[Method, int], float]:
    """Peak anonymous megabytes of `r3an fit` by method and by how often the file is repeated."""
    peaks: dict[tuple[Method, int], float] = {}
    for copies in (1, COPIES):
        on_stage(f"training on the file repeated {copies} times")
        pairs = folder / f"repeated-{copies}.parquet"
        rows = repeat_pairs(material.pairs, copies, pairs)
        batches = {  # rows of one, and how many: of FC an epoch and more
            Method.FC: (FC_BATCH_ROWS, rows // FC_BATCH_ROWS),
            Method.R3AN: (R3AN_BATCH_ROWS, R3AN_ITERATIONS),
        }
        for method, (batch_rows, iterations) in batches.items():
            config = folder / f"{method}-{copies}.toml"
            config.write_text(f'method = "{method}"\nbatch_rows = {batch_rows}\niterations = {iterations}\n')
            out = folder / f"{method}-{copies}"
            peaks[method, copies] = anonymous_peak_mb(pairs, material.source, material.target, config, method, out)
    return peaks
