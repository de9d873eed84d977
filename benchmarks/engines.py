"""The runtimes in process side by side, for every method, and beside ResNet-101: one thread each, in one run."""

import math
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.resnet import IMAGE, resnet_101
from benchmarks.results import Claim, Figure, Result, claim, result_of, spread_of
from benchmarks.rounds import seconds_side_by_side
from benchmarks.translate import SOURCE, TARGET, export_untrained
from contract.manifest import Method, read_manifest
from contract.vectors import Features
from service.engines import onnxruntime as onnx_engine
from service.engines import torchscript as torchscript_engine
from training.exchange_formats import Run, run_onnx, run_torch, to_onnx, to_torchscript
from training.methods.registry import METHODS, empty_translator

BATCHES = (1, 8, 64, 512)
MIDDLE = 64  # the batch that claims are about
BUDGET_S = 1.5  # of a run; one pass may exceed it
IMAGES = (1, 8)  # ResNet-101 is taken at the batch that suits it better
RESNET_GOALS = {Method.R3AN: 60.0, Method.DISTILLED: 5000.0, Method.AFFINE: 5000.0}  # features/s over its images/s
PLAIN_GOAL = 1.5
ONNX, TORCHSCRIPT, PLAIN = "onnxruntime", "TorchScript", "plain torch.jit.trace"

Rates = dict[str, list[float]]  # by what runs: features/s in each round


def engines_result(command: str) -> Result:
    """Features a second of every method, of R³AN as `torch.jit.trace` leaves it, and images a second of ResNet-101."""
    started_at = time.monotonic()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures, claims = _measure()
    finally:
        torch.set_num_threads(threads)
    seconds = time.monotonic() - started_at
    return result_of(
        name="translate-engines",
        command=command,
        seconds=seconds,
        figures=figures,
        claims=claims,
    )


def _measure() -> tuple[dict[str, float | Figure], list[Claim]]:
    figures: dict[str, float | Figure] = {}
    resnet = _resnet_runs()
    claims = list[Claim]()
    for method in METHODS:
        if method.startswith("arch"):  # r3an's network
            continue
        with tempfile.TemporaryDirectory() as folder:
            runs = _engine_runs(method, Path(folder))
        for rows in BATCHES:
            beside_resnet = rows == MIDDLE and method in RESNET_GOALS
            rates = _rates(runs, rows, resnet if beside_resnet else {})
            figures |= _figures(method, rows, rates)
            if beside_resnet:
                figures |= _resnet_figures(method, rates)
                claims += _claims(method, rates)
    return figures, claims


def _figures(method: Method, rows: int, rates: Rates) -> dict[str, float | Figure]:
    head = f"{method}, batch {rows}"
    named: dict[str, float | Figure] = {
        f"{head}: features/s by {name}": spread_of(rates[name]) for name in (ONNX, TORCHSCRIPT, PLAIN) if name in rates
    }
    named[f"{head}: {ONNX} over {TORCHSCRIPT}"] = spread_of(_over(rates[ONNX], rates[TORCHSCRIPT]))
    return named


def _resnet_figures(method: Method, rates: Rates) -> dict[str, float | Figure]:
    named: dict[str, float | Figure] = {}
    for runtime in (ONNX, TORCHSCRIPT):
        images = _resnet_rates(rates, runtime)
        named[f"ResNet-101 beside {method}: images/s by {runtime}"] = spread_of(images)
        named[f"{method}, batch {MIDDLE}: over ResNet-101, {runtime}"] = spread_of(_over(rates[runtime], images))
    return named


def _claims(method: Method, rates: Rates) -> list[Claim]:
    """What is hoped for of a method, at the middle batch."""
    claims = list[Claim]()
    for runtime in (ONNX, TORCHSCRIPT):
        ratio = spread_of(_over(rates[runtime], _resnet_rates(rates, runtime))).value
        what = f"{method}: features/s over ResNet-101's images/s, {runtime}"
        claims.append(claim(what, ratio, ">=", RESNET_GOALS[method]))
    if PLAIN in rates:
        ratio = spread_of(_over(rates[ONNX], rates[PLAIN])).value
        claims.append(claim(f"{method}: features/s by {ONNX} over {PLAIN}'s", ratio, ">=", PLAIN_GOAL))
    return claims


def _engine_runs(method: Method, folder: Path) -> dict[str, Run]:
    """A method's network as each engine in process runs it, and R³AN as torch traces it."""
    manifest = read_manifest(export_untrained(method, SOURCE, TARGET, folder))
    runs = {
        ONNX: onnx_engine.open_version(onnxruntime, folder, manifest),
        TORCHSCRIPT: torchscript_engine.open_version(torch, folder, manifest),
    }
    if method is Method.R3AN:
        plain = torch.jit.trace(empty_translator(method, SOURCE.dim, TARGET.dim).eval(), torch.ones(2, SOURCE.dim))  # type: ignore[no-untyped-call] # torch's own
        runs[PLAIN] = run_torch(plain)
    return runs


def _resnet_runs() -> dict[str, Run]:
    torch.manual_seed(0)
    network, pixels = resnet_101().eval(), math.prod(IMAGE)
    torchscript = torch.jit.optimize_for_inference(to_torchscript(network, pixels))
    return {ONNX: run_onnx(to_onnx(network, pixels)), TORCHSCRIPT: run_torch(torchscript)}


def _rates(runs: dict[str, Run], rows: int, resnet: dict[str, Run]) -> Rates:
    """Rows a second of each run, and of ResNet-101's at each of its batches."""
    generator = np.random.default_rng(rows)
    names, calls, sizes = list[str](), list[Callable[[], Features]](), list[int]()

    def add(name: str, run: Run, size: int, dim: int) -> None:
        names.append(name)
        calls.append(partial(run, generator.standard_normal((size, dim)).astype(np.float32)))
        sizes.append(size)

    for name, run in runs.items():
        add(name, run, rows, SOURCE.dim)
    for name, run in resnet.items():
        for images in IMAGES:
            add(_resnet_name(name, images), run, images, math.prod(IMAGE))
    seconds = seconds_side_by_side(calls, BUDGET_S)
    return {name: [size / one for one in rounds] for name, size, rounds in zip(names, sizes, seconds, strict=True)}


def _resnet_rates(rates: Rates, runtime: str) -> list[float]:
    """ResNet-101's images/s in each round, at whichever batch was faster."""
    return [max(pair) for pair in zip(*(rates[_resnet_name(runtime, images)] for images in IMAGES), strict=True)]


def _resnet_name(runtime: str, images: int) -> str:
    return f"ResNet-101 by {runtime}, batch {images}"


def _over(left: list[float], right: list[float]) -> list[float]:
    return [a / b for a, b in zip(left, right, strict=True)]
