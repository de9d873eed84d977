"""The bake-off: all methods on the same pairs, judged on the same held-out identities, and the winner promoted.

The winner is chosen and judged on the same identities, so that its figure, the largest of several that rise and fall
together, is a little too high; by how much the paired intervals tell (docs/decisions/promotion.md). A fit of few pairs
chooses by cross-validation instead (`training.selection`).
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contract.calibration import Calibration
from contract.confidence import ConfidenceModel
from contract.manifest import Identification, Method, Quality
from training.bootstrap import Difference, paired_differences
from training.config import FitConfig
from training.contest import Contest, OnMethod, OnStage
from training.errors import DivergedError
from training.export import Facts, check_writable, export_translator, newest_with
from training.fit import FittedFacts, fit_pairs, load_for
from training.hardware import PLAIN, Hardware
from training.lessons import Lesson, shipped_lesson
from training.models.translator import Translator
from training.pairs import PairedFeatures
from training.preflight import check_judgeable, check_learnable
from training.proof import (
    Natives,
    Proof,
    Stage,
    judge_natives,
    prove,
    quality,
    set_stage,
    target_calibration,
)
from training.report.material import Evidence
from training.report.run import read_run
from training.report.write import write_page
from training.run_folder import CANDIDATES, REPORT_FILE, RUNS, SUMMARY_FILE
from training.split import Split, split_identities
from training.trust import Trust, calibration_check, judge_confidence, with_trust
from training.versions import check_spaces
from training.workspace import workspace, write_atomically

PROMOTED = "model_repository"
DECIDING_FAR = 1e-4  # of methods equal in rank-1; stricter rates hang on a handful of impostor pairs


@dataclass(frozen=True, slots=True)
class Outcome:
    """The judgement of all, and where things lie."""

    winner: Method
    promoted: Path
    summary: Path
    report: Path


@dataclass(frozen=True, slots=True)
class _Entrant:
    translator: Translator
    fitted: FittedFacts
    proof: Proof


def run_bakeoff(
    contest: Contest,
    out: Path,
    repository: Path,
    on_stage: OnStage,
    on_method: OnMethod,
    hardware: Hardware = PLAIN,
) -> Outcome:
    """Train, judge, export and promote. Interrupted, it takes up where it stopped when run again.

    `out` receives runs/<method>/, candidates/<method>/ (a model repository each), bakeoff.json and report.html;
    `repository` the winner, as the next version of its translator unless it is the newest already.

    Raises:
        TrainingError: bad pairs, bad configuration, a repository of other spaces or that cannot be written, or an
            export that is not the trained module.
    """
    with workspace(out) as copy:
        on_stage("reading pairs")
        pairs = load_for(contest.pairs, contest.source, contest.target, contest.involved, copy)
        split = split_identities(pairs)
        check_learnable(pairs, split.training)
        check_judgeable(pairs, split.held_out)
        check_spaces(contest.translator_id, pairs.space(contest.source), pairs.space(contest.target), repository)
        check_writable(contest.translator_id, repository)
        stage = set_stage(pairs, split, contest.source, contest.target)
        entrants, diverged = _train_all(contest, pairs, split, stage, out, on_stage, on_method, hardware)
        on_stage("judging both encoders in their own spaces")
        natives = judge_natives(stage)
        on_stage("exporting")
        trust = judge_confidence(pairs, split, stage, contest.source, contest.target)
        shared = SharedFacts(target_calibration(stage), trust.confidence)
        cards = _cards(stage, natives, entrants, trust)
        winner = max(entrants, key=lambda method: _merit(entrants[method].proof.identification))
        promoted = _export(contest, out, repository, entrants, cards, shared, winner)
        summary = out / SUMMARY_FILE
        judged = _summary(contest, stage, natives, entrants, cards, winner) | {"diverged": diverged}
        write_atomically(summary, json.dumps(judged, indent=2) + "\n")
        evidence = Evidence(stage, {str(m): e.proof.translated for m, e in entrants.items()})
        write_page(read_run(out), evidence, out / REPORT_FILE)
    return Outcome(winner, promoted, summary, out / REPORT_FILE)


def _train_all(
    contest: Contest,
    pairs: PairedFeatures,
    split: Split,
    stage: Stage,
    out: Path,
    on_stage: OnStage,
    on_method: OnMethod,
    hardware: Hardware,
) -> tuple[dict[Method, _Entrant], dict[Method, str]]:
    """Train and judge each method; the second part is what became of those that did not converge."""
    entrants: dict[Method, _Entrant] = {}
    diverged: dict[Method, str] = {}
    for config in contest.configs:
        on_stage(f"training {config.method}")
        how = (out / RUNS / config.method, on_method(config.method), hardware, _lesson(contest, config, out))
        try:
            fitted = fit_pairs(pairs, split.training, contest.source, contest.target, config, *how)
        except DivergedError as error:  # a result like others (Table 3's Arch7); the rest is judged without it
            on_stage(str(error))
            diverged[config.method] = str(error)
            continue
        on_stage(f"judging {config.method}")
        entrants[config.method] = _Entrant(*fitted, prove(fitted[0], stage))
    if not entrants:
        raise DivergedError("; ".join(diverged.values()))
    return entrants, diverged


def _lesson(contest: Contest, config: FitConfig, out: Path) -> Lesson | None:
    """A teacher that is one of the contestants as it is shipped is trained once, in its own run."""
    if config.teacher is None:
        return None
    lesson = shipped_lesson(config, out / RUNS / config.teacher)
    return lesson if lesson is not None and contest.has(lesson.settings) else None


@dataclass(frozen=True, slots=True)
class SharedFacts:
    """What all translators of one contest have in common."""

    target_calibration: Calibration
    confidence: ConfidenceModel


def _cards(stage: Stage, natives: Natives, entrants: dict[Method, _Entrant], trust: Trust) -> dict[Method, Quality]:
    """Each method beside both natives and its rivals, with what abstaining buys it."""
    identification = {str(method): e.proof.identification for method, e in entrants.items()}
    cards: dict[Method, Quality] = {}
    for method, entrant in entrants.items():
        rivals = {name: judged for name, judged in identification.items() if name != method}
        cards[method] = with_trust(quality(stage, natives, entrant.proof, rivals), trust, entrant.proof.hits, stage)
    return cards


def _export(
    contest: Contest,
    out: Path,
    repository: Path,
    entrants: dict[Method, _Entrant],
    cards: dict[Method, Quality],
    shared: SharedFacts,
    winner: Method,
) -> Path:
    """Export every method into a repository of its own, and the winner into `repository` too if it is not there."""

    def facts_of(method: Method) -> Facts:
        entrant = entrants[method]
        return Facts(
            id=contest.translator_id,
            method=method,
            source=entrant.fitted.source,
            target=entrant.fitted.target,
            training=entrant.fitted.training,
            quality=cards[method],
            calibration=entrant.proof.calibration,
            target_calibration=shared.target_calibration,
            native_to_translated=entrant.proof.native_to_translated,
            translated_to_translated=entrant.proof.translated_to_translated,
            confidence=shared.confidence,
        )

    shutil.rmtree(out / CANDIDATES, ignore_errors=True)  # those of an earlier contest, which had others perhaps
    for method, entrant in entrants.items():
        export_translator(entrant.translator, facts_of(method), out / CANDIDATES / method)
    promoted = newest_with(facts_of(winner), repository)
    return promoted or export_translator(entrants[winner].translator, facts_of(winner), repository)


def _merit(identification: Identification) -> tuple[float, float]:
    supported = [far for far in identification.tar_at_far if float(far) >= DECIDING_FAR]
    strictest = min(supported, key=float, default=None)
    return identification.rank_1.value, identification.tar_at_far[strictest].value if strictest else 0.0


def _summary(
    contest: Contest,
    stage: Stage,
    natives: Natives,
    entrants: dict[Method, _Entrant],
    cards: dict[Method, Quality],
    winner: Method,
) -> dict[str, Any]:
    """Everything a table, a report or a result file shows. No vector, no identity."""
    shown = {method: card.model_dump(mode="json") for method, card in cards.items()}
    differences = paired_differences({str(m): e.proof.hits for m, e in entrants.items()}, stage.probe_identities)
    rows = {
        "untranslated": natives.untranslated,
        **{str(method): e.proof.identification for method, e in entrants.items()},
        "source native": natives.source,
        "target native": natives.target,
    }
    return {
        "source": contest.source,
        "target": contest.target,
        "winner": str(winner),
        "probes": len(stage.probe_identities),
        "gallery_subjects": cards[winner].gallery_subjects,
        "distractors": stage.distractors,
        "training": {str(m): e.fitted.training.model_dump(mode="json") for m, e in entrants.items()},
        "identification": {name: row.model_dump(mode="json") for name, row in rows.items()},
        "gallery_direction": {str(m): e.proof.gallery_direction.model_dump(mode="json") for m, e in entrants.items()},
        "cmc": {str(m): e.proof.cmc for m, e in entrants.items()}
        | {
            "source native": stage.cmc(stage.compare_sources()),
            "target native": stage.cmc(stage.compare(stage.target_probes)),
        },
        "calibration_check": {str(m): calibration_check(stage, e.proof) for m, e in entrants.items()},
        "abstention": {str(m): card["abstention"] for m, card in shown.items()},
        "auroc": shown[winner]["auroc"],
        "rank_1_difference": {a: {b: asdict(d) for b, d in row.items()} for a, row in differences.items()},
        "rank_1_behind_winner": {m: _interval(difference) for m, difference in differences[str(winner)].items()},
    }


def _interval(difference: Difference) -> dict[str, float]:
    return {"value": difference.value, "low": difference.low, "high": difference.high}
