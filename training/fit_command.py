"""`r3an fit` in its three forms: a method by name, a method chosen by cross-validation, a training made again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.manifest import Method
from training.config import load_config
from training.errors import ConfigError
from training.fit import FittedFacts, fit_pairs, load_for
from training.hardware import PLAIN, Hardware
from training.preflight import check_learnable
from training.progress import View
from training.recreation import recreate
from training.selection import fit_chosen
from training.split import split_identities
from training.workspace import workspace

CHOOSING = "choosing a method"


@dataclass(frozen=True, slots=True)
class FitRequest:
    """What the command line asks for; None where it says nothing."""

    pairs: Path
    out: Path
    source: str | None = None
    target: str | None = None
    method: Method | None = None
    config: Path | None = None
    seed: int | None = None
    from_manifest: Path | None = None
    hardware: Hardware = PLAIN


def run_fit(request: FitRequest, view: View) -> dict[str, Any]:
    """Fit as asked; returns what to print.

    Raises:
        TrainingError: options that contradict each other, or whatever stops the fit.
    """
    if request.hardware != PLAIN and request.method is None:
        raise ConfigError("--devices and --precision need --method")
    if request.from_manifest is not None:
        if (request.source, request.target, request.method, request.config, request.seed) != (None,) * 5:
            raise ConfigError("--from-manifest names source, target, method, settings and seed; give none beside it")
        return _fit_again(request.from_manifest, request, view)
    if request.source is None or request.target is None:
        raise ConfigError("--source and --target are needed, or a manifest that names them (--from-manifest)")
    if request.method is not None:
        return _fit_by_name(request.method, request.source, request.target, request, view)
    if request.config is not None:
        raise ConfigError("--config needs --method; without it, method and settings are chosen")
    return _fit_chosen(request.source, request.target, request, view)


def _fit_by_name(method: Method, source: str, target: str, request: FitRequest, view: View) -> dict[str, Any]:
    settings = load_config(method, request.config, seed=request.seed)
    with workspace(request.out) as copy:
        pairs = load_for(request.pairs, source, target, settings.involved, copy, view.counter("reading pairs"))
        split = split_identities(pairs)
        check_learnable(pairs, split.training)
        how = (request.out, view.iterations(method), request.hardware)
        _, facts = fit_pairs(pairs, split.training, source, target, settings, *how)
    return _result(request, facts)


def _fit_chosen(source: str, target: str, request: FitRequest, view: View) -> dict[str, Any]:
    facts, expectation = fit_chosen(
        request.pairs,
        source,
        target,
        request.seed or 0,
        request.out,
        on_rows=view.counter("reading pairs"),
        on_fold=view.counter(CHOOSING),
        on_method=view.iterations,
    )
    shown = {"source", "target", "winner", "folds", "sought", "probes", "gallery_subjects", "losses", "identification"}
    return _result(request, facts) | {"expectation": expectation.model_dump(mode="json", include=shown)}


def _fit_again(manifest: Path, request: FitRequest, view: View) -> dict[str, Any]:
    on_rows, on_iteration = view.counter("reading pairs"), view.iterations("again")
    again = recreate(manifest, request.pairs, request.out, on_rows, on_iteration)
    return _result(request, again.facts) | {
        "same_weights": again.same_weights,
        "proof_max_abs_difference": again.proof_max_abs_difference,
        "changed_software": again.changed_software,
    }


def _result(request: FitRequest, facts: FittedFacts) -> dict[str, Any]:
    return {
        "out": str(request.out),
        "method": str(facts.method),
        "weights_sha256": facts.training.weights_sha256,
        "training": facts.training.model_dump(mode="json"),
    }
