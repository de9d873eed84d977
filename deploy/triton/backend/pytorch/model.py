"""Triton backend named `pytorch`, in Python: serves `platform: "pytorch_libtorch"` where libtorch's backend is missing.

Reads the same config.pbtxt as Triton's own backend and the same TorchScript file or, on CPUs, the `model.onnx` beside
it, which costs less to run; each only as the manifest's hash says. Runs in Triton's stub.
"""

import hashlib
import importlib.util
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils  # exists inside Triton's stub only
from numpy.typing import NDArray
from torch import Tensor

MODEL_FILE, ONNX_FILE, MANIFEST_FILE = "model.pt", "model.onnx", "manifest.json"
SILENT = 4  # onnxruntime's log may say what it was given
# Of one pass through a network: what more rows need does not fit into a core's cache.
TORCH_ROWS, ONNX_ROWS = 64, 16

Tensors = list[NDArray[np.float32]]  # one per input, or output, each [N, d]
Run = Callable[[Tensors], Tensors]


class TritonPythonModel:
    """One instance of one model version. Requests of one call form one batch."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:  # noqa: ANN401 - Triton's own type
        """Leave the configuration as it was written."""
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model; Triton shows whatever is raised as the reason."""
        config = json.loads(args["model_config"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        version = Path(args["model_repository"]) / args["model_version"]
        file, threads = config.get("default_model_filename") or MODEL_FILE, _threads(config)
        sha256_of = _hashes(version / MANIFEST_FILE)
        has_onnx = ONNX_FILE in sha256_of and (version / ONNX_FILE).exists() and file == MODEL_FILE
        if args["model_instance_kind"] == "GPU":
            device = f"cuda:{args['model_instance_device_id']}"
            self._model = _torchscript(_read(version / file, sha256_of), device, threads)
        elif has_onnx and importlib.util.find_spec("onnxruntime"):
            self._model = _onnx(_read(version / ONNX_FILE, sha256_of), threads)
        else:
            self._model = _in_pieces(_torchscript(_read(version / file, sha256_of), "cpu", threads), TORCH_ROWS)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer all requests with one forward pass; if that fails, each alone, so that one cannot fail another's."""
        batches = [[_input(request, name) for name in self._inputs] for request in requests]
        try:
            return self._run(batches)
        except Exception as error:  # whatever a module raises is an answer, not a crash of the stub
            if len(batches) == 1:
                return [_refusal(error)]
        return [response for batch in batches for response in self._run_alone(batch)]

    def _run_alone(self, batch: Tensors) -> list[Any]:
        try:
            return self._run([batch])
        except Exception as error:
            return [_refusal(error)]

    def _run(self, batches: list[Tensors]) -> list[Any]:
        ends = np.cumsum([len(batch[0]) for batch in batches])[:-1]
        outputs = self._model([np.concatenate(tensors) for tensors in zip(*batches, strict=True)])  # [sum N, d] each
        pieces = [np.split(output, ends) for output in outputs]  # a piece per request: [N, d]
        return [self._response(list(piece)) for piece in zip(*pieces, strict=True)]

    def _response(self, outputs: Tensors) -> Any:  # noqa: ANN401 - Triton's own type
        # By torch's DLPack: Tensor(numpy array) silently answers an empty tensor under numpy 2, and numpy's own DLPack
        # raises when Triton has taken what it handed over.
        named = zip(self._outputs, map(torch.from_numpy, outputs), strict=True)
        return pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack(name, output) for name, output in named])


def _threads(config: dict[str, Any]) -> int:
    parameters = config.get("parameters", {})
    chosen = parameters.get("INTRA_OP_THREAD_COUNT", {}).get("string_value") or os.environ.get("OMP_NUM_THREADS")
    return int(chosen or 1)


def _hashes(manifest: Path) -> dict[str, str]:
    """The sha256 of each file that a manifest vouches for; none where there is no manifest."""
    if not manifest.exists():
        return {}
    facts = json.loads(manifest.read_bytes())
    return {MODEL_FILE: facts["sha256"]} | ({ONNX_FILE: facts["onnx"]["sha256"]} if facts.get("onnx") else {})


def _read(file: Path, sha256_of: dict[str, str]) -> bytes:
    """A file's content, which is what was hashed and what is loaded. Raises ValueError: it is not the manifest's."""
    content = file.read_bytes()
    if file.name in sha256_of and hashlib.sha256(content).hexdigest() != sha256_of[file.name]:
        raise ValueError(f"{file.name} does not have the manifest's sha256")
    return content


def _onnx(model: bytes, threads: int) -> Run:
    import onnxruntime  # noqa: PLC0415 - may be missing

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = SILENT
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in session.get_inputs()]
    return _in_pieces(lambda inputs: list(session.run(None, dict(zip(names, inputs, strict=True)))), ONNX_ROWS)


def _torchscript(model: bytes, device: str, threads: int) -> Run:
    torch.set_num_threads(threads)
    module = torch.jit.freeze(torch.jit.load(io.BytesIO(model), map_location=device).eval())  # type: ignore[no-untyped-call]
    module = torch.jit.optimize_for_inference(module) if device == "cpu" else module

    def run(inputs: Tensors) -> Tensors:
        with torch.inference_mode():
            answer = module(*(torch.from_numpy(tensor).to(device) for tensor in inputs))
        outputs = answer if isinstance(answer, tuple | list) else (answer,)
        return [output.cpu().numpy() for output in outputs]

    return run


def _in_pieces(run: Run, rows: int) -> Run:
    def run_in_pieces(inputs: Tensors) -> Tensors:
        starts = range(0, len(inputs[0]), rows)
        answers = [run([tensor[start : start + rows] for tensor in inputs]) for start in starts]
        return answers[0] if len(answers) == 1 else [np.concatenate(parts) for parts in zip(*answers, strict=True)]

    return run_in_pieces


def _input(request: Any, name: str) -> NDArray[np.float32]:  # noqa: ANN401 - Triton's own type
    tensor: Tensor = torch.utils.dlpack.from_dlpack(pb_utils.get_input_tensor_by_name(request, name))
    return tensor.numpy()


def _refusal(error: Exception) -> Any:  # noqa: ANN401 - Triton's own type
    # The type alone: a message of a runtime may quote values, and values are biometric data.
    return pb_utils.InferenceResponse([], pb_utils.TritonError(f"the translator raised {type(error).__name__}"))
