"""Publish one fit, judged on its data's held-out identities when the data is at hand."""

from dataclasses import replace
from pathlib import Path

from training.contest import translator_id
from training.errors import DataError
from training.expectation import read_expectation
from training.export import Facts, export_translator
from training.fit import load, load_for
from training.methods.base import rows_sha256
from training.models.translator import Translator
from training.preflight import check_judgeable, check_learnable
from training.proof import judge_natives, prove, quality, set_stage, target_calibration
from training.split import split_identities
from training.trust import judge_confidence, with_trust
from training.versions import check_spaces
from training.workspace import workspace


def publish(fitted: Path, pairs_path: Path | None, repository: Path) -> Path:
    """Export a fit's folder as the next version of `<source>--<target>`; returns the version's folder.

    Without pairs, the manifest carries the quality, calibration and confidence that cross-validation found when the
    method was chosen, or none, and says so by their absence.

    Raises:
        DataError: no finished fit, or pairs other than those it was trained on, or too few to judge it.
        ConfigError: another run is at work in the fit's folder.
        ExportError: the repository holds versions of other spaces, or the export is not the trained module.
    """
    translator, fact = load(fitted)
    facts = Facts(
        id=translator_id(fact.source.id, fact.target.id),
        method=fact.method,
        source=fact.source,
        target=fact.target,
        training=fact.training,
    )
    # Here, so that a refusal does not wait for a judgement.
    check_spaces(facts.id, facts.source, facts.target, repository)
    expectation = read_expectation(fitted, fact.training)
    if pairs_path is not None:
        facts = _judged(facts, translator, fitted, pairs_path)
    elif expectation is not None:
        facts = replace(
            facts,
            quality=expectation.quality,
            calibration=expectation.calibration,
            target_calibration=expectation.target_calibration,
            native_to_translated=expectation.native_to_translated,
            translated_to_translated=expectation.translated_to_translated,
            confidence=expectation.confidence,
        )
    return export_translator(translator, facts, repository)


def _judged(facts: Facts, translator: Translator, fitted: Path, pairs_path: Path) -> Facts:
    """Facts with the judgement on the data's held-out identities. Raises DataError, ConfigError."""
    source, target, training = facts.source.id, facts.target.id, facts.training
    with workspace(fitted) as copy:
        pairs = load_for(pairs_path, source, target, [], copy)
        if pairs.fingerprint != training.data_fingerprint:
            raise DataError(str(pairs_path), "is not the data this fit was trained on; its held-out identities differ")
        split = split_identities(pairs)
        if training.rows_sha256 not in (None, rows_sha256(split.training)):
            reason = "was not trained on the identities that judging leaves to training; export it without pairs"
            raise DataError(str(fitted), reason)
        check_learnable(pairs, split.training)
        check_judgeable(pairs, split.held_out)
        stage = set_stage(pairs, split, source, target)
        proof = prove(translator, stage)
        trust = judge_confidence(pairs, split, stage, source, target)
        judged = quality(stage, judge_natives(stage), proof, {})
        return replace(
            facts,
            quality=with_trust(judged, trust, proof.hits, stage),
            calibration=proof.calibration,
            target_calibration=target_calibration(stage),
            native_to_translated=proof.native_to_translated,
            translated_to_translated=proof.translated_to_translated,
            confidence=trust.confidence,
        )
