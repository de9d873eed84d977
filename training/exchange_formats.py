"""A translator as TorchScript and as ONNX, each checked against the trained module."""

import io
from collections.abc import Callable

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from contract.manifest import ONNX_INPUT, ONNX_OUTPUT
from contract.vectors import Features
from training.errors import ExportError

PARITY_MAX = 1e-4
PARITY_BATCHES = (1, 2, 7, 64)
EXAMPLE_ROWS = 2
OPSET = 20  # the newest that the exporter knows

Run = Callable[[Features], Features]  # [N, ds] to [N, dt]


def to_torchscript(module: nn.Module, source_dim: int) -> torch.jit.ScriptModule:
    """Frozen TorchScript of a module in evaluation mode, [N, source_dim] to [N, dt]."""
    with torch.inference_mode():
        traced = torch.jit.trace(module, torch.ones(EXAMPLE_ROWS, source_dim), check_trace=False)  # type: ignore[no-untyped-call]  # as torch has it
        frozen: torch.jit.ScriptModule = torch.jit.freeze(traced)
        return frozen


def to_onnx(module: nn.Module, source_dim: int) -> bytes:
    """ONNX of a module in evaluation mode, [N, source_dim] to [N, dt].

    By the exporter that traces: the one that follows `torch.export` takes many times as long for the same graph.

    Raises:
        ExportError: the module has an operator that ONNX has not.
    """
    file = io.BytesIO()
    rows = {0: "N"}
    try:
        with torch.inference_mode():
            torch.onnx.export(
                module,
                (torch.ones(EXAMPLE_ROWS, source_dim),),
                file,  # type: ignore[arg-type]  # this exporter takes one in memory
                input_names=[ONNX_INPUT],
                output_names=[ONNX_OUTPUT],
                dynamic_axes={ONNX_INPUT: rows, ONNX_OUTPUT: rows},
                opset_version=OPSET,
                dynamo=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(f"cannot be exported as ONNX: {str(error).splitlines()[0]}") from error
    return file.getvalue()


def run_torch(module: nn.Module) -> Run:
    """How a module of torch is run, eager or TorchScript."""

    def run(features: Features) -> Features:
        with torch.inference_mode():
            translated = module(torch.from_numpy(features))
        assert isinstance(translated, Tensor)  # noqa: S101 - for the type checker
        return np.asarray(translated.numpy())

    return run


def run_onnx(model: bytes) -> Run:
    """How an ONNX model is run, in one thread. Raises ExportError: onnxruntime does not take it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common root
        raise ExportError(f"onnxruntime does not load what was exported: {type(error).__name__}") from error
    return lambda features: np.asarray(session.run([ONNX_OUTPUT], {ONNX_INPUT: features})[0])


def measure_parity(trained: Run, exported: Run, source_dim: int, name: str) -> float:
    """Largest absolute difference between the trained and the exported module over several batch sizes.

    Raises:
        ExportError: it exceeds 1e-4, or is not finite.
    """
    generator = np.random.default_rng(0)
    worst = 0.0
    for rows in PARITY_BATCHES:
        features = generator.standard_normal((rows, source_dim)).astype(np.float32)
        difference = float(np.abs(trained(features) - exported(features)).max())
        worst = max(worst, difference if np.isfinite(difference) else float("inf"))
    if worst > PARITY_MAX:
        raise ExportError(f"{name} differs from the trained module by {worst:g}; at most {PARITY_MAX:g} is allowed")
    return worst
