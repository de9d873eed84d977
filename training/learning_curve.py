"""Learning curves: what more pairs, and better ones, are worth to each method."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from training.bootstrap import count_subjects
from training.contest import Contest, OnMethod, OnStage
from training.errors import ConfigError, DivergedError
from training.fit import fit_pairs, load_for
from training.methods.base import Rows
from training.models.translator import translate
from training.pairs import DISTRACTOR, PairedFeatures, parquet_files
from training.preflight import check_judgeable, check_learnable
from training.proof import Natives, Stage, judge_natives, set_stage
from training.repeats import first_shared, likeness, refusal
from training.split import split_identities
from training.training_sets import Kind, Sources, TrainingSet, training_sets
from training.workspace import workspace, write_atomically

LEARNING_CURVE_FILE = "learning_curve.json"
ROWS_MIN, POINTS_MAX = 2, 100

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Curve:
    """What is asked for: numbers of training rows, kinds of pairs, and the other domain's file if that is one of them.

    Raises ConfigError for what cannot be drawn.
    """

    rows: tuple[int, ...]
    kinds: tuple[Kind, ...]
    other_domain: Path | None
    seed: int

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ConfigError("no kind of training pairs is named")
        if len(self.rows) > POINTS_MAX or min(self.rows, default=ROWS_MIN) < ROWS_MIN:
            raise ConfigError(f"rows are at most {POINTS_MAX} numbers of at least {ROWS_MIN}")
        if (Kind.OTHER_DOMAIN in self.kinds) != (self.other_domain is not None):
            raise ConfigError(
                f"kind {Kind.OTHER_DOMAIN} and a file of that domain go together; without a file, "
                f"{Kind.DARKER_FACES} takes another domain from the pairs themselves"
            )


def draw_learning_curve(contest: Contest, curve: Curve, out: Path, on_stage: OnStage, on_method: OnMethod) -> Json:
    """Train each method on ever more rows of each kind of pairs, and judge all on the same held-out identities.

    `out` receives <kind>/<rows asked for>/<method>/, from which an interrupted run goes on, and learning_curve.json,
    which is also returned. The held-out pairs are always clean ones. A training that diverges has no point.

    Raises:
        TrainingError: bad pairs, rows that teach nothing, or a training that failed.
    """
    with workspace(out) as copy:
        on_stage("reading pairs")
        needs_images = Kind.DARKER_FACES in curve.kinds
        pairs = load_for(
            contest.pairs, contest.source, contest.target, contest.involved, copy / "pairs", images=needs_images
        )
        split = split_identities(pairs)
        other = _read_other(contest, curve, pairs, split.held_out, copy)
        check_learnable(pairs, split.training)
        check_judgeable(pairs, split.held_out)
        stage = set_stage(pairs, split, contest.source, contest.target)
        on_stage("judging both encoders in their own spaces")
        natives = judge_natives(stage)
        sources = Sources(pairs, split, contest.source, other, curve.seed, copy)
        points: list[Json] = []
        diverged: list[Json] = []
        for chosen in training_sets(sources, list(curve.kinds), list(curve.rows)):
            check_learnable(chosen.pairs, chosen.rows)
            on_stage(f"{chosen.kind} pairs, {chosen.asked} rows")
            judged, failed = _judge_methods(contest, stage, chosen, out, on_stage, on_method)
            points, diverged = points + judged, diverged + failed
        if not points:
            raise DivergedError(
                "; ".join(f"{f['method']} ({f['kind']}, {f['asked']}): {f['reason']}" for f in diverged)
            )
        summary = _summary(contest, curve, pairs, stage, natives) | {"points": points, "diverged": diverged}
        write_atomically(out / LEARNING_CURVE_FILE, json.dumps(summary, indent=2) + "\n")
    return summary


def _read_other(
    contest: Contest, curve: Curve, pairs: PairedFeatures, held_out: Rows, copy: Path
) -> PairedFeatures | None:
    if curve.other_domain is None:
        return None
    other = load_for(curve.other_domain, contest.source, contest.target, contest.involved, copy / "other")
    if other.fingerprint == pairs.fingerprint:
        raise ConfigError(f"{curve.other_domain}: holds the same pairs as {contest.pairs}, held-out ones included")
    _check_apart(other, pairs, held_out)
    return other


def _check_apart(other: PairedFeatures, pairs: PairedFeatures, held_out: Rows) -> None:
    """Refuse another domain that would train on held-out photos or vectors, however its file differs.

    Its distractors are not trained on.

    Raises:
        DataError: with the first such row.
    """
    trained = np.flatnonzero(np.asarray(other.identities) != DISTRACTOR)
    for column, digests in other.digests.items():
        shared = first_shared(digests[trained], pairs.digests[column][held_out])
        if shared is not None:
            files = parquet_files(other.path)
            file_rows = [int(pq.read_metadata(file).num_rows) for file in files]
            reason = f"{likeness(column)} as in a held-out row of {pairs.path}"
            raise refusal(reason, column, int(trained[shared]), files, file_rows)


def _judge_methods(
    contest: Contest, stage: Stage, chosen: TrainingSet, out: Path, on_stage: OnStage, on_method: OnMethod
) -> tuple[list[Json], list[Json]]:
    """A point of each method, and what became of those that diverged."""
    points: list[Json] = []
    diverged: list[Json] = []
    for config in contest.configs:
        place = {"kind": str(chosen.kind), "method": str(config.method), "asked": chosen.asked}
        try:
            translator, facts = fit_pairs(
                chosen.pairs,
                chosen.rows,
                contest.source,
                contest.target,
                config,
                out / chosen.kind / chosen.asked / config.method,
                on_method(config.method),
            )
        except DivergedError as error:  # a result like others, as in a bake-off
            on_stage(f"{config.method}: {error}")
            diverged.append(place | {"rows": len(chosen.rows), "reason": str(error)})
            continue
        judged = stage.judge(translate(translator, stage.raw_probes)).model_dump(mode="json")
        points.append(
            place
            | {
                "rows": facts.training.rows,
                "identities": facts.training.identities,
                "seconds": facts.training.seconds,
            }
            | judged
        )
    return points, diverged


def _summary(contest: Contest, curve: Curve, pairs: PairedFeatures, stage: Stage, natives: Natives) -> Json:
    return {
        "source": contest.source,
        "target": contest.target,
        "seed": curve.seed,
        "data_fingerprint": pairs.fingerprint,
        "probes": len(stage.probe_identities),
        "gallery_subjects": count_subjects(stage.gallery_identities),
        "distractors": stage.distractors,
        "natives": {
            "source native": natives.source.model_dump(mode="json"),
            "target native": natives.target.model_dump(mode="json"),
        },
    }
