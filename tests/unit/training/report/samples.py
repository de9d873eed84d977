"""A small stage and a finished run's files."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from contract.vectors import Features, l2_normalize
from training.proof import Stage
from training.report.material import Evidence
from training.report.run import Run, read_run
from training.run_folder import SUMMARY_FILE

SUBJECTS, FACES, STRANGERS = 12, 5, 30
SOURCE_DIM, TARGET_DIM = 10, 8
IMPOSTORS = SUBJECTS * (FACES - 1) * (SUBJECTS + STRANGERS - 1)
METHODS = ("residual", "affine")
FINGERPRINT = "a" * 64


def make_stage(seed: int = 0) -> Stage:
    """Twelve subjects with a face enrolled and four probes, among thirty strangers."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(SUBJECTS + STRANGERS, 6))
    probe_identities = np.repeat(np.arange(SUBJECTS, dtype=np.int32), FACES - 1)
    gallery_identities = np.arange(SUBJECTS + STRANGERS, dtype=np.int32)
    eyes = [rng.normal(size=(6, dim)) for dim in (SOURCE_DIM, TARGET_DIM)]
    faces = [latent[i] + 0.4 * rng.normal(size=(len(i), 6)) for i in (probe_identities, gallery_identities)]
    (raw, raw_gallery), (targets, target_gallery) = [[np.asarray(f @ eye, np.float32) for f in faces] for eye in eyes]
    return Stage(
        probe_identities=probe_identities,
        gallery_identities=gallery_identities,
        raw_probes=raw,
        raw_gallery=raw_gallery,
        source_probes=l2_normalize(raw),
        source_gallery=l2_normalize(raw_gallery),
        target_probes=l2_normalize(targets),
        target_gallery=l2_normalize(target_gallery),
    )


def make_evidence() -> Evidence:
    """Translations that are target probes with more noise and with less."""
    stage = make_stage()
    return Evidence(stage, {"residual": _noisy(stage.target_probes, 0.1), "affine": _noisy(stage.target_probes, 0.4)})


def _noisy(features: Features, noise: float) -> Features:
    drawn = np.random.default_rng(1).normal(size=features.shape)
    return l2_normalize(np.asarray(features + noise * drawn, np.float32))


def rate(value: float) -> dict[str, float]:
    """A rate with an interval around it."""
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


def judgement(rank_1: float, **more: float) -> dict[str, Any]:
    """A row of a summary."""
    return {
        "rank_1": rate(rank_1),
        "tar_at_far": {"1e-3": rate(rank_1 - 0.05)} | {far: rate(value) for far, value in more.items()},
        "fnir_at_fpir": {"0.01": rate(0.3)},
    }


def make_summary(**more: object) -> dict[str, Any]:
    """`bakeoff.json` of two methods, with none of the parts that later versions added."""
    facts = {"rows": 100, "identities": 20, "seconds": 3.2, "data_fingerprint": FINGERPRINT, "config": {"seed": 0}}
    return {
        "source": "old-10",
        "target": "new-8",
        "winner": "residual",
        "probes": 48,
        "gallery_subjects": 42,
        "distractors": 30,
        "training": {"affine": facts, "residual": facts},
        "identification": {
            "untranslated": judgement(0.1),
            "affine": judgement(0.8),
            "residual": judgement(0.9),
            "source native": judgement(0.93),
            "target native": judgement(0.95),
        },
        "cmc": {"affine": [0.8, 0.9], "residual": [0.9, 0.95], "target native": [0.95, 0.97]},
    } | more


def make_run(folder: Path, **more: object) -> Run:
    """A folder with that summary, read."""
    (folder / SUMMARY_FILE).write_text(json.dumps(make_summary(**more)))
    return read_run(folder)
