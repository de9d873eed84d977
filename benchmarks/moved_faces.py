"""Real faces enrolled with one encoder, moved, and probed with the other: is anybody lost who would have been found?

Beside it stand the two other ways to answer the new encoder's probes: to enrol everybody anew with it, which needs
their photos, and to leave the gallery as it is and translate each probe back. All three go through a real gateway and
its store, with translators trained on the training identities; gallery and probes are of identities nobody trained on.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from benchmarks.gallery_client import Found, create_gallery, enrol, open_client, search
from benchmarks.migration_client import Step, begin, take, wait_for_state
from benchmarks.results import Figure, Result, claim, figure_of, result_of
from contract.manifest import Interval
from contract.spaces import FeatureSpace
from contract.vectors import Features
from deploy.gateway import GatewayServer
from training.bootstrap import BOOTSTRAP, identity_groups, interval_of, paired_differences, resamples
from training.comparison import TIE
from training.config import FitConfig
from training.export import Facts, export_translator
from training.fit import fit_pairs, load_for
from training.lazy_rows import FeatureRows
from training.models.translator import Translator, translate
from training.pairs import DISTRACTOR
from training.progress import View
from training.proof import Stage, judge_gallery_direction, judge_natives, set_stage
from training.split import split_identities
from training.workspace import workspace

MOVED, ANEW, KEPT = "moved", "enrolled-anew", "kept"  # galleries, and what is done for each
LABELS = {MOVED: "gallery moved", ANEW: "everybody enrolled anew", KEPT: "gallery kept, probes translated"}
ENROL_FACES, SEARCH_PROBES = 500, 250
READY_S_MAX = 600.0
RANK_1_SHARE = 0.97  # of the weaker native's, as a bake-off asks of what it promotes
JUDGEMENT_GAP_MAX = 0.001  # between what the store answers and what the bake-off judges in memory

Hits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Direction:
    """A trained translator and the held-out faces it is judged by."""

    translator: Translator
    facts: Facts
    stage: Stage


def moved_faces_result(
    name: str, command: str, pairs: Path, source: str, target: str, config: FitConfig, out: Path, view: View
) -> Result:
    """Train both directions, move a gallery of `source`, probe it with `target`, and compare.

    Finished trainings in `out` are taken up.

    Raises:
        TrainingError: bad pairs, or a training that does not converge.
    """
    started_at = time.monotonic()
    with workspace(out) as scratch:
        there, back = _train(pairs, source, target, config, out, scratch, view)
        repository = scratch / "model_repository"
        for direction in (there, back):
            export_translator(direction.translator, direction.facts, repository)
        with _served(repository, scratch / "galleries") as client:
            hits = _probe(client, there, back.stage.raw_probes, view)
    identities = there.stage.probe_identities
    rates = {way: rate_of(found, identities) for way, found in hits.items()}
    judged = _judge(there, back)
    natives = judge_natives(there.stage)
    figures: dict[str, float | Figure] = {
        "probes": float(len(identities)),
        "gallery faces": float(len(there.stage.gallery_identities)),
        "rank-1, source native": figure_of(natives.source.rank_1),
    }
    figures |= {f"rank-1, {LABELS[way]}": figure_of(rate) for way, rate in rates.items()}
    differences = paired_differences(hits, identities)[MOVED]
    for way, difference in differences.items():
        interval = Figure(value=difference.value, low=difference.low, high=difference.high)
        figures[f"rank-1, {LABELS[MOVED]}, minus {LABELS[way]}, paired"] = interval
    weaker = min(natives.source.rank_1.value, natives.target.rank_1.value)
    gap = max(abs(rates[way].value - judged[way]) for way in hits)
    return result_of(
        name=name,
        command=command,
        seconds=time.monotonic() - started_at,
        figures=figures,
        claims=[
            claim(f"{LABELS[MOVED]}: rank-1 over the weaker native's", rates[MOVED].value / weaker, ">=", RANK_1_SHARE),
            claim("greatest gap between the store's rank-1 and the bake-off's own", gap, "<=", JUDGEMENT_GAP_MAX),
        ],
    )


def _train(
    path: Path, source: str, target: str, config: FitConfig, out: Path, scratch: Path, view: View
) -> tuple[Direction, Direction]:
    """Source to target for the gallery, target to source for probes."""
    view.stage("reading pairs")
    pairs = load_for(path, source, target, config.involved, scratch / "pairs")
    split = split_identities(pairs)
    directions = []
    for start, end in ((source, target), (target, source)):
        view.stage(f"training {config.method} from {start} to {end}")
        folder = out / f"{start}--{end}"
        on_iteration = view.iterations(f"{config.method} from {start}")
        translator, fitted = fit_pairs(pairs, split.training, start, end, config, folder, on_iteration)
        facts = Facts(folder.name, config.method, fitted.source, fitted.target, fitted.training)
        directions.append(Direction(translator, facts, set_stage(pairs, split, start, end)))
    return directions[0], directions[1]


@contextmanager
def _served(repository: Path, galleries: Path) -> Iterator[httpx.Client]:
    settings = {
        "R3AN_ENVIRONMENT": "development",
        "R3AN_MODEL_REPOSITORY": str(repository),
        "R3AN_GALLERY_DIR": str(galleries),
        "R3AN_LOG_LEVEL": "warning",
    }
    with GatewayServer(settings) as gateway, open_client(gateway.url) as client:
        yield client


def _probe(client: httpx.Client, there: Direction, probes: Features, view: View) -> dict[str, Hits]:
    """Which target probes [P, dt] find their subject first, each way."""
    stage, source, target = there.stage, there.facts.source, there.facts.target
    view.stage(f"enrolling {len(stage.gallery_identities):,} faces three times")
    _enrol(client, MOVED, source, stage.raw_gallery, stage)
    _enrol(client, KEPT, source, stage.raw_gallery, stage)
    _enrol(client, ANEW, target, stage.target_gallery, stage)
    view.stage("moving a gallery")
    migration = begin(client, MOVED, target)
    wait_for_state(client, migration, "ready", READY_S_MAX)
    take(client, migration, Step.CUT_OVER)
    return {gallery: _hits(client, gallery, target, probes, stage, view) for gallery in (MOVED, ANEW, KEPT)}


def _enrol(client: httpx.Client, gallery: str, space: FeatureSpace, features: FeatureRows, stage: Stage) -> None:
    create_gallery(client, gallery, space)
    subjects = [_subject(int(identity), row) for row, identity in enumerate(stage.gallery_identities)]
    for start in range(0, len(subjects), ENROL_FACES):
        rows = slice(start, start + ENROL_FACES)
        face_ids = [f"face-{row}" for row in range(len(subjects))[rows]]
        enrol(client, gallery, space, face_ids, subjects[rows], features[rows])


def _subject(identity: int, row: int) -> str:
    return f"nobody-{row}" if identity == DISTRACTOR else f"person-{identity}"


def _hits(client: httpx.Client, gallery: str, space: FeatureSpace, probes: Features, stage: Stage, view: View) -> Hits:
    hits: list[bool] = []
    for start in range(0, len(probes), SEARCH_PROBES):
        found = search(client, gallery, space, probes[start : start + SEARCH_PROBES], top_k=2)
        hits += [
            is_hit(matches, f"person-{identity}")
            for matches, identity in zip(found, stage.probe_identities[start:], strict=False)
        ]
        view.counter(f"probes of {gallery}")(len(hits), len(probes))
    return np.array(hits)


def is_hit(matches: list[Found], subject: str) -> bool:
    """Whether the subject's one face beats every other; a tie counts against the probe."""
    first, others = matches[0], matches[1:]
    return first.subject == subject and all(first.similarity - other.similarity > TIE for other in others)


def rate_of(hits: Hits, identities: NDArray[np.int32]) -> Interval:
    """The share of hits [P], with an interval that draws whole identities [P] as the bake-off's do."""
    groups, count = identity_groups(identities)
    correct, probes = np.bincount(groups, weights=hits, minlength=count), np.bincount(groups, minlength=count)  # [I]
    drawn = [(w @ correct) / (w @ probes) for w in resamples(count, BOOTSTRAP, seed=0)]
    return interval_of(float(hits.mean()), np.concatenate(drawn), count)


def _judge(there: Direction, back: Direction) -> dict[str, float]:
    """The same rates by the bake-off's own judgement, in memory."""
    return {
        MOVED: judge_gallery_direction(there.translator, there.stage).rank_1.value,
        ANEW: there.stage.judge(there.stage.target_probes).rank_1.value,
        KEPT: back.stage.judge(translate(back.translator, back.stage.raw_probes)).rank_1.value,
    }
