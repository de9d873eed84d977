"""One fit on disk: train on some identities, set the others aside, leave weights and facts in a folder."""

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch

from contract.manifest import Method, Training
from contract.spaces import FeatureSpace
from training.config import FitConfig, load_config
from training.errors import ConfigError, DataError, TrainingError
from training.export import software_versions
from training.hardware import PLAIN, Hardware
from training.loop import OnIteration
from training.methods.base import Fit, Rows, rows_sha256
from training.methods.registry import empty_translator, entry
from training.models.translator import Translator
from training.pairs import DISTRACTOR, IDENTITY, OnRows, PairedFeatures, read_pairs

WEIGHTS_FILE, FACTS_FILE, CHECKPOINT_FILE = "translator.pt", "fit.json", "checkpoint.pt"
SECONDS_FILE, TEACHER = "seconds.json", "teacher"
HELD_OUT_SHARE = 0.4
SPLIT_SEED = 0  # one split for all methods and seeds of a data set, so that results compare


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of identities to learn from, and rows of identities nobody trains on."""

    training: Rows
    held_out: Rows


@dataclass(frozen=True, slots=True)
class FittedFacts:
    """What is known of a fit without its weights."""

    method: Method
    source: FeatureSpace
    target: FeatureSpace
    training: Training


def split_identities(pairs: PairedFeatures, held_out_share: float = HELD_OUT_SHARE) -> Split:
    """Divide rows by identity, never an identity between both; distractors are always held out.

    Raises:
        DataError: a side would be left with fewer than two identities.
    """
    identities = np.asarray(pairs.identities)
    unique = np.unique(identities[identities != DISTRACTOR])
    held_out = np.random.default_rng(SPLIT_SEED).permutation(unique)[: round(len(unique) * held_out_share)]
    if len(held_out) < 2 or len(unique) - len(held_out) < 2:
        reason = f"{len(unique)} identities cannot be divided into two sides of at least two"
        raise DataError(str(pairs.path), reason, column=IDENTITY)
    is_held_out = np.isin(identities, held_out) | (identities == DISTRACTOR)
    return Split(np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out))


def identity_folds(pairs: PairedFeatures, folds: int, seed: int) -> list[Split]:
    """Divide rows by identity into `folds` splits that hold each identity out once; distractors always are.

    Raises:
        DataError: there are fewer than two identities for each fold.
    """
    identities = np.asarray(pairs.identities)
    unique = np.unique(identities[identities != DISTRACTOR])
    if len(unique) < 2 * folds:
        reason = f"{len(unique)} identities cannot be divided into {folds} folds of at least two"
        raise DataError(str(pairs.path), reason, column=IDENTITY)
    parts = np.array_split(np.random.default_rng(seed).permutation(unique), folds)
    held_out = [np.isin(identities, part) | (identities == DISTRACTOR) for part in parts]
    return [Split(np.flatnonzero(~side), np.flatnonzero(side)) for side in held_out]


def load_for(
    path: Path,
    source: str,
    target: str,
    methods: list[Method],
    cache_dir: Path,
    on_rows: OnRows | None = None,
    *,
    images: bool = False,
) -> PairedFeatures:
    """Read what the methods need of a data set, and the images in any case if asked to. Raises DataError."""
    if source == target:
        raise DataError(str(path), "source and target are the same feature space", column=source)
    images = images or any(entry(method).needs_images for method in methods)
    return read_pairs(path, [source, target], cache_dir, images=images, on_rows=on_rows)


def fit_pairs(
    pairs: PairedFeatures,
    rows: Rows,
    source: str,
    target: str,
    config: FitConfig,
    out: Path,
    on_iteration: OnIteration,
    hardware: Hardware = PLAIN,
    teacher_dir: Path | None = None,
) -> tuple[Translator, FittedFacts]:
    """Train one method, or take up the finished or interrupted training that lies in `out`.

    A finished fit of the same facts stays as it is, with the seconds it took. A teacher that the configuration asks
    for is trained first, in `teacher_dir` or else within `out`; the seconds are those of both.

    Raises:
        TrainingError: bad data, a checkpoint of another training, damaged seconds of earlier runs, or divergence.
    """
    out.mkdir(parents=True, exist_ok=True)
    fit = Fit(pairs, rows, source, target, config, out / CHECKPOINT_FILE, on_iteration)
    facts = _facts(fit)
    finished = _load_if(facts, out)
    if finished is not None:
        return finished
    before_s = _seconds_before(out)
    if config.teacher is not None:
        settings, folder = load_config(config.teacher, seed=config.seed), teacher_dir or out / TEACHER
        teacher, taught = fit_pairs(pairs, rows, source, target, settings, folder, on_iteration, hardware)
        fit, before_s = replace(fit, teacher=teacher), before_s or taught.training.seconds
    started_at = time.monotonic()
    try:
        translator = _train(fit, hardware)
    finally:
        seconds = before_s + time.monotonic() - started_at
        _write_atomically(out / SECONDS_FILE, json.dumps(seconds))
    facts = _with_seconds(facts, round(seconds, 3))
    save(translator, facts, out)
    return translator, facts


def _train(fit: Fit, hardware: Hardware) -> Translator:
    method = entry(fit.config.method)
    if method.closed_form or (hardware == PLAIN and not torch.cuda.is_available()):
        return method.fit(fit)
    from training.processes import fit_on_devices  # noqa: PLC0415 - Fabric takes a second to load

    return fit_on_devices(fit, hardware)


def _facts(fit: Fit) -> FittedFacts:
    """What is known of a fit before it is made: all but the seconds."""
    training = Training(
        data_fingerprint=fit.pairs.fingerprint,
        rows=len(fit.rows),
        identities=len(np.unique(fit.pairs.identities[fit.rows])),
        rows_sha256=rows_sha256(fit.rows),
        config=fit.config.facts(),
        seed=fit.config.seed,
        seconds=0.0,
        software=software_versions(),
    )
    return FittedFacts(
        method=fit.config.method,
        source=fit.pairs.space(fit.source),
        target=fit.pairs.space(fit.target),
        training=training,
    )


def _with_seconds(facts: FittedFacts, seconds: float) -> FittedFacts:
    return replace(facts, training=facts.training.model_copy(update={"seconds": seconds}))


def _load_if(facts: FittedFacts, out: Path) -> tuple[Translator, FittedFacts] | None:
    """The finished fit in `out`, if its facts are these, whatever seconds it took."""
    try:
        translator, found = load(out)
    except TrainingError:  # nothing, a part or a damaged one: to be fitted
        return None
    return (translator, found) if _with_seconds(found, 0.0) == facts else None


def save(translator: Translator, facts: FittedFacts, out: Path) -> None:
    """Write weights, then facts; facts are the sign that the weights are whole, and theirs."""
    (out / FACTS_FILE).unlink(missing_ok=True)
    staged = out / f".{WEIGHTS_FILE}"
    torch.save(translator.state_dict(), staged)
    staged.replace(out / WEIGHTS_FILE)
    values = asdict(facts) | {
        key: getattr(facts, key).model_dump(mode="json") for key in ("source", "target", "training")
    }
    _write_atomically(out / FACTS_FILE, json.dumps(values, indent=2) + "\n")


def weights_sha256(translator: Translator) -> str:
    """Hex sha256 over names, shapes and bytes of all weights, in name order: equal weights, equal hash.

    That of `model.pt` differs each time, as TorchScript numbers what it traces.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(translator.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load(out: Path) -> tuple[Translator, FittedFacts]:
    """Read what `save` wrote. Raises DataError when the folder holds no finished fit."""
    try:
        values = json.loads((out / FACTS_FILE).read_text(encoding="utf-8"))
        facts = FittedFacts(
            method=Method(values["method"]),
            source=FeatureSpace.model_validate(values["source"]),
            target=FeatureSpace.model_validate(values["target"]),
            training=Training.model_validate(values["training"]),
        )
        translator = empty_translator(facts.method, facts.source.dim, facts.target.dim)
        translator.load_state_dict(torch.load(out / WEIGHTS_FILE, weights_only=True))
    except (OSError, EOFError, ValueError, LookupError, TypeError, RuntimeError, UnpicklingError) as error:
        raise DataError(str(out), f"no finished fit ({FACTS_FILE} and {WEIGHTS_FILE})") from error
    return translator.eval(), facts


def _seconds_before(out: Path) -> float:
    """Seconds that earlier runs trained; without a checkpoint of theirs to go on from, none. Raises ConfigError.

    A damaged file is not taken for zero: the seconds are published in the manifest, where they would silently be
    untrue. Nothing is lost by the refusal, as it comes before training and the checkpoint stays.
    """
    file = out / SECONDS_FILE
    if not file.exists() or not (out / CHECKPOINT_FILE).exists():
        return 0.0
    try:
        seconds = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:  # neither JSON nor UTF-8
        seconds = None
    if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise ConfigError(f"{file}: is no number of seconds; delete it to go on and count from zero")
    return float(seconds)


def _write_atomically(file: Path, text: str) -> None:
    staged = file.with_name(f".{file.name}")
    staged.write_text(text, encoding="utf-8")
    staged.replace(file)
