"""Make a training again from its manifest alone, and say whether what comes out answers as the manifest records."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from contract.errors import ManifestError
from contract.manifest import Training, TranslatorManifest, parse_manifest
from contract.proof import proof_features
from training.conditions import changed_conditions, hardware_of, threads_of
from training.config import FitConfig
from training.errors import ConfigError, DataError
from training.fit import FACTS_FILE, FittedFacts, fit_pairs, load_for
from training.hardware import Hardware
from training.lessons import TEACHER, Lesson, read_facts
from training.loop import OnIteration
from training.methods.base import Rows, rows_sha256
from training.models.translator import Translator, translate
from training.pairs import DISTRACTOR, OnRows, PairedFeatures
from training.split import split_identities
from training.workspace import workspace


@dataclass(frozen=True, slots=True)
class Recreated:
    """A training made again."""

    facts: FittedFacts
    same_weights: bool | None  # as the manifest's; None: it does not say
    proof_max_abs_difference: float | None  # from the answer in the manifest; None: the manifest holds none
    changed_software: str  # which conditions differ, in words; empty where none does


def read_recipe(file: Path, out: Path) -> tuple[TranslatorManifest, FitConfig, Lesson | None]:
    """A manifest, the configuration in it, and its teacher's, to be fitted within `out`; no weights are needed.

    Raises:
        ConfigError: no manifest, or a configuration that no longer parses.
    """
    try:
        manifest = parse_manifest(file)
    except ManifestError as error:
        raise ConfigError(f"{file}: {error}") from None
    except OSError as error:
        raise ConfigError(f"{file}: no readable manifest") from error
    except ValidationError as error:
        raise ConfigError(f"{file}: no manifest: {_first(error)}") from error
    try:
        config, lesson = read_facts(manifest.training.config, out / TEACHER)
    except ValidationError as error:
        raise ConfigError(f"{file}: training.config no longer parses: {_first(error)}") from error
    if (config.method, config.seed) != (manifest.method, manifest.training.seed):
        raise ConfigError(f"{file}: training.config contradicts the manifest's method or seed")
    return manifest, config, lesson


def recreate(file: Path, pairs_path: Path, out: Path, on_rows: OnRows, on_iteration: OnIteration) -> Recreated:
    """Fit again what a manifest describes, into `out`, in as many threads: the same weights on the same machine.

    Raises:
        TrainingError: an unusable manifest, pairs other than those it names, or a finished fit in `out`.
    """
    manifest, config, lesson = read_recipe(file, out)
    source, target, recorded = manifest.source, manifest.target, manifest.training.software
    hardware = _hardware(recorded, file)
    with workspace(out) as copy, threads_of(recorded):
        if (out / FACTS_FILE).exists():  # it would be taken up, and prove nothing
            raise ConfigError(f"{out} holds a finished fit; choose another folder to make the training again")
        pairs = load_for(pairs_path, source.id, target.id, config.involved, copy, on_rows)
        if pairs.fingerprint != manifest.training.data_fingerprint:
            raise DataError(str(pairs_path), f"is not the data that {file} was trained on; its fingerprint differs")
        rows = _rows_of(pairs, manifest.training, file)
        how = (config, out, on_iteration, hardware, lesson)
        translator, facts = fit_pairs(pairs, rows, source.id, target.id, *how)
    wanted = manifest.training.weights_sha256
    return Recreated(
        facts=facts,
        same_weights=None if wanted is None else facts.training.weights_sha256 == wanted,
        proof_max_abs_difference=_difference(translator, manifest),
        changed_software=changed_conditions(recorded, facts.training.software),
    )


def _hardware(software: dict[str, str], file: Path) -> Hardware:
    try:
        return hardware_of(software)
    except ValueError as error:
        raise ConfigError(f"{file}: training.software names an unknown precision or number of devices") from error


def _rows_of(pairs: PairedFeatures, training: Training, file: Path) -> Rows:
    """The training side of the split, or all identities where a method was chosen. Raises ConfigError for others."""
    everyone = np.flatnonzero(np.asarray(pairs.identities) != DISTRACTOR)
    for rows in (everyone, split_identities(pairs).training):
        same_number = (len(rows), len(np.unique(pairs.identities[rows]))) == (training.rows, training.identities)
        if same_number and training.rows_sha256 in (None, rows_sha256(rows)):
            return rows
    raise ConfigError(f"{file}: was trained on rows that this version would not choose of the same data")


def _difference(translator: Translator, manifest: TranslatorManifest) -> float | None:
    """Largest difference from the recorded answer to the proof."""
    if manifest.parity.proof is None:
        return None
    answer = translate(translator, proof_features(manifest.source.dim))[0]
    return float(np.abs(answer - np.asarray(manifest.parity.proof, np.float32)).max())


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return ": ".join([".".join(map(str, first["loc"])), first["msg"]]).lstrip(": ")
