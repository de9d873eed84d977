"""Triton backend named `pytorch`, in Python: serves `platform: "pytorch_libtorch"` where libtorch's backend is missing.

Reads the same config.pbtxt and the same TorchScript file as Triton's own backend. Runs inside Triton's stub process.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
import triton_python_backend_utils as pb_utils  # exists inside Triton's stub only
from torch import Tensor

MODEL_FILE = "model.pt"


class TritonPythonModel:
    """One instance of one model version. Requests of one call form one batch."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:  # noqa: ANN401 - Triton's own type
        """Leave the configuration as it was written."""
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Load and freeze the TorchScript module; Triton shows whatever is raised as the reason."""
        config = json.loads(args["model_config"])
        torch.set_num_threads(_threads(config))
        self._device = _device(args)
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        file = config.get("default_model_filename") or MODEL_FILE
        self._module = _load(Path(args["model_repository"]) / args["model_version"] / file, self._device)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer all requests with one forward pass; if that fails, each alone, so that one cannot fail another's."""
        batches = [[_input(request, name) for name in self._inputs] for request in requests]
        try:
            return self._run(batches)
        except Exception as error:  # whatever a module raises is an answer, not a crash of the stub
            if len(batches) == 1:
                return [_refusal(error)]
        return [response for batch in batches for response in self._run_alone(batch)]

    def _run_alone(self, batch: list[Tensor]) -> list[Any]:
        try:
            return self._run([batch])
        except Exception as error:
            return [_refusal(error)]

    def _run(self, batches: list[list[Tensor]]) -> list[Any]:
        rows = [batch[0].shape[0] for batch in batches]
        joined = [torch.cat(tensors).to(self._device) for tensors in zip(*batches, strict=True)]  # [sum N, d]
        with torch.inference_mode():
            answer = self._module(*joined)
        outputs = answer if isinstance(answer, tuple | list) else (answer,)
        pieces = [output.cpu().contiguous().split(rows) for output in outputs]  # a piece per request: [N, d]
        return [self._response(list(piece)) for piece in zip(*pieces, strict=True)]

    def _response(self, outputs: list[Tensor]) -> Any:  # noqa: ANN401 - Triton's own type
        # By DLPack: Tensor(numpy array) silently answers an empty tensor under numpy 2.
        named = zip(self._outputs, outputs, strict=True)
        return pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack(name, output) for name, output in named])


def _threads(config: dict[str, Any]) -> int:
    parameters = config.get("parameters", {})
    chosen = parameters.get("INTRA_OP_THREAD_COUNT", {}).get("string_value") or os.environ.get("OMP_NUM_THREADS")
    return int(chosen or 1)


def _device(args: dict[str, str]) -> torch.device:
    on_gpu = args["model_instance_kind"] == "GPU"
    return torch.device(f"cuda:{args['model_instance_device_id']}" if on_gpu else "cpu")


def _load(file: Path, device: torch.device) -> torch.jit.ScriptModule:
    module = torch.jit.freeze(torch.jit.load(str(file), map_location=device).eval())  # type: ignore[no-untyped-call]
    return module if device.type == "cuda" else torch.jit.optimize_for_inference(module)


def _input(request: Any, name: str) -> Tensor:  # noqa: ANN401 - Triton's own type
    return torch.utils.dlpack.from_dlpack(pb_utils.get_input_tensor_by_name(request, name))


def _refusal(error: Exception) -> Any:  # noqa: ANN401 - Triton's own type
    # The type alone: a message of torch may quote values, and values are biometric data.
    return pb_utils.InferenceResponse([], pb_utils.TritonError(f"the translator raised {type(error).__name__}"))
