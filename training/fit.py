"""One fit on disk: train on some rows, leave weights and facts in a folder."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch

from contract.manifest import Method, Training
from contract.spaces import NAME_LENGTH_MAX, FeatureSpace
from training.conditions import Conditions, conditions_now, keep_conditions, merge_conditions
from training.config import FitConfig
from training.contest import translator_id
from training.errors import ConfigError, DataError, TrainingError
from training.hardware import PLAIN, Hardware
from training.lessons import TEACHER, Lesson, facts_of, same_settings, shipped_lesson
from training.loop import OnIteration
from training.methods.base import Fit, Rows, rows_sha256
from training.methods.registry import empty_translator, entry
from training.models.translator import Translator, weights_sha256
from training.pairs import OnRows, PairedFeatures, read_pairs
from training.stopwatch import Stopwatch, read_seconds
from training.workspace import hold, save_atomically, write_atomically

WEIGHTS_FILE, FACTS_FILE, CHECKPOINT_FILE = "translator.pt", "fit.json", "checkpoint.pt"
SECONDS_FILE, CONDITIONS_FILE = "seconds.json", "conditions.json"


@dataclass(frozen=True, slots=True)
class FittedFacts:
    """What is known of a fit without its weights."""

    method: Method
    source: FeatureSpace
    target: FeatureSpace
    training: Training


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
    if len(name := translator_id(source, target)) > NAME_LENGTH_MAX:
        reason = (
            f"the translator's name, {name}, would have {len(name)} characters; at most {NAME_LENGTH_MAX} are allowed"
        )
        raise DataError(str(path), reason, column=source)
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
    lesson: Lesson | None = None,
) -> tuple[Translator, FittedFacts]:
    """Train one method, or take up the finished or interrupted training that lies in `out`.

    A finished fit of the same facts stays as it is, with its seconds and its software. A teacher that the configuration
    asks for is trained first, by `lesson` or else as it is shipped, within `out`; the seconds are those of both. No
    other run has a part in `out` meanwhile.

    Raises:
        TrainingError: bad data, another run, training or fit in `out`, damaged seconds of earlier runs, divergence, or
            a file that cannot be written.
    """
    lesson = lesson or shipped_lesson(config, out / TEACHER)
    fit = Fit(pairs, rows, source, target, config, out / CHECKPOINT_FILE, on_iteration)
    with hold(out):
        return _take_up(fit, out, hardware, lesson)


def _take_up(fit: Fit, out: Path, hardware: Hardware, lesson: Lesson | None) -> tuple[Translator, FittedFacts]:
    is_iterative = not entry(fit.config.method).closed_form
    conditions = conditions_now(hardware if is_iterative else PLAIN)
    facts = _facts(fit, conditions, lesson)
    finished = _finished(facts, out)
    if finished is not None:
        return finished
    if is_iterative and hardware != PLAIN:
        from training.processes import check_batches  # noqa: PLC0415 - Fabric takes a second to load

        check_batches(hardware, fit.config, len(fit.rows))  # here, so that a refusal does not wait for a teacher
    is_begun = is_iterative and (out / CHECKPOINT_FILE).exists()
    before_s = (read_seconds(out / SECONDS_FILE) if is_begun else None) or 0.0
    if lesson is not None:
        how = (lesson.settings, lesson.folder, fit.on_iteration, hardware, lesson.lesson)
        teacher, taught = fit_pairs(fit.pairs, fit.rows, fit.source, fit.target, *how)
        fit, before_s = replace(fit, teacher=teacher), before_s or taught.training.seconds
        conditions = merge_conditions(taught.training.software, conditions)
    if is_iterative:
        conditions = keep_conditions(out / CONDITIONS_FILE, conditions, is_begun=is_begun)
    stopwatch = Stopwatch(out / SECONDS_FILE, before_s, fit.config.checkpoint_interval_s)
    try:
        translator = _train(replace(fit, on_iteration=stopwatch.watch(fit.on_iteration)), hardware)
    finally:
        stopwatch.keep()
    facts = _made(facts, conditions, round(stopwatch.seconds, 3), weights_sha256(translator))
    save(translator, facts, out)
    return translator, facts


def _train(fit: Fit, hardware: Hardware) -> Translator:
    method = entry(fit.config.method)
    if method.closed_form or (hardware == PLAIN and not torch.cuda.is_available()):
        return method.fit(fit)
    from training.processes import fit_on_devices  # noqa: PLC0415 - Fabric takes a second to load

    return fit_on_devices(fit, hardware)


def _facts(fit: Fit, conditions: Conditions, lesson: Lesson | None) -> FittedFacts:
    """What is known of a fit before it is made."""
    training = Training(
        data_fingerprint=fit.pairs.fingerprint,
        rows=len(fit.rows),
        identities=len(np.unique(fit.pairs.identities[fit.rows])),
        rows_sha256=rows_sha256(fit.rows),
        config=facts_of(fit.config, lesson),
        seed=fit.config.seed,
        seconds=0.0,
        software=conditions,
    )
    return FittedFacts(
        method=fit.config.method,
        source=fit.pairs.space(fit.source),
        target=fit.pairs.space(fit.target),
        training=training,
    )


def _made(facts: FittedFacts, conditions: Conditions, seconds: float, weights: str) -> FittedFacts:
    learned = {"software": conditions, "seconds": seconds, "weights_sha256": weights}
    return replace(facts, training=facts.training.model_copy(update=learned))


def _finished(facts: FittedFacts, out: Path) -> tuple[Translator, FittedFacts] | None:
    """The finished fit in `out`, with the seconds it took and the software that made it.

    Raises:
        ConfigError: it is not the one that is asked for, and nobody asked to lose it.
    """
    try:
        translator, found = load(out)
    except TrainingError:  # nothing, a part or a damaged one: to be fitted
        return None
    _check_same(found, facts, out)
    return translator, found


def check_free(
    pairs: PairedFeatures, rows: Rows, source: str, target: str, configs: Sequence[FitConfig], out: Path
) -> None:
    """Refuse a finished fit in `out` that `fit_pairs` would take up for none of the configurations.

    Raises:
        ConfigError: says what is other in it.
    """
    try:
        _, found = load(out)
    except TrainingError:
        return
    config = next((config for config in configs if config.method == found.method), configs[0])
    fit = Fit(pairs, rows, source, target, config, out / CHECKPOINT_FILE, lambda *_: None)
    _check_same(found, _facts(fit, {}, shipped_lesson(config, out / TEACHER)), out)


def _check_same(found: FittedFacts, facts: FittedFacts, out: Path) -> None:
    if found.method != facts.method:
        raise ConfigError(f"{out} holds a finished fit of {found.method}; choose another folder")
    if changed := _changed(found, facts):
        raise ConfigError(f"{out} holds a finished fit by other {', '.join(changed)}; choose another folder")


def _changed(found: FittedFacts, facts: FittedFacts) -> list[str]:
    """In what two fits of one method differ; their software is not asked for."""
    before, now = found.training, facts.training
    rows = (before.rows, before.identities, before.rows_sha256 or now.rows_sha256)  # older fits do not name theirs
    same = {
        "spaces": (found.source, found.target) == (facts.source, facts.target),
        "data": before.data_fingerprint == now.data_fingerprint,
        "rows": rows == (now.rows, now.identities, now.rows_sha256),
        "settings": same_settings(before.config, now.config),
    }
    return [what for what, is_same in same.items() if not is_same]


def save(translator: Translator, facts: FittedFacts, out: Path) -> None:
    """Write weights, then facts, which are the sign that the weights are whole, and theirs. Raises DataError."""
    (out / FACTS_FILE).unlink(missing_ok=True)
    save_atomically(out / WEIGHTS_FILE, translator.state_dict())
    values = asdict(facts) | {
        key: getattr(facts, key).model_dump(mode="json") for key in ("source", "target", "training")
    }
    write_atomically(out / FACTS_FILE, json.dumps(values, indent=2) + "\n")


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
