"""LitServe as it is fastest: ZeroMQ between its processes, no middleware. Arguments: MODEL PORT KIND BATCH.

KIND: `json` or `binary` bodies. BATCH: requests that go into one call of the model; 1 leaves its batching out.
"""

import sys
from typing import Annotated, Any

import litserve
import torch
from fastapi import Body, Response
from torch import Tensor

from benchmarks.gateway_requests import DIM
from benchmarks.load.plan import OCTET_STREAM
from benchmarks.peers.model import load
from contract.vectors import pack_float32, unpack_float32
from deploy.process import LOOPBACK

BATCH_TIMEOUT_S = 0.001  # 0 makes its worker spin while nobody asks


class JsonApi(litserve.LitAPI):  # type: ignore[misc] # litserve's classes have no types
    """Lists of features in and out, one request at a time."""

    def __init__(self, file: str, batch: int) -> None:
        super().__init__(max_batch_size=batch, batch_timeout=BATCH_TIMEOUT_S if batch > 1 else 0.0)
        self.file = file

    def setup(self, device: str) -> None:
        """Load the model in the worker process."""
        self.model = load(self.file)

    def decode_request(self, request: dict[str, Any]) -> Tensor:
        """Features [N, d]."""
        return torch.tensor(request["features"])

    def predict(self, features: Tensor) -> Tensor:
        """Translate [N, d]."""
        with torch.inference_mode():
            translated: Tensor = self.model(features)
        return translated

    def encode_response(self, translated: Tensor) -> dict[str, Any]:
        """Lists of [N, d]."""
        return {"features": translated.tolist()}


class BinaryApi(JsonApi):
    """Float32 in and out."""

    def decode_request(self, request: Annotated[bytes, Body(media_type=OCTET_STREAM)]) -> Tensor:  # type: ignore[override]
        """Features [N, d]."""
        return torch.from_numpy(unpack_float32(request, DIM).copy())

    def encode_response(self, translated: Tensor) -> Response:  # type: ignore[override]
        """The bytes of [N, d]."""
        return Response(pack_float32(translated.numpy()), media_type=OCTET_STREAM)


class _Batched:
    """Requests of any number of rows in one call."""

    model: torch.jit.ScriptModule

    def batch(self, inputs: list[Tensor]) -> tuple[Tensor, list[int]]:
        """All rows, and how many each request has."""
        return torch.cat(inputs), [len(features) for features in inputs]

    def predict(self, batch: tuple[Tensor, list[int]]) -> list[Tensor]:
        """Translate all rows; those of each request."""
        features, rows = batch
        with torch.inference_mode():
            return list(self.model(features).split(rows))

    def unbatch(self, output: list[Tensor]) -> list[Tensor]:
        """They are apart already."""
        return output


class BatchedJsonApi(_Batched, JsonApi):  # type: ignore[misc] # other types than without batches
    """Lists of features in and out, in batches."""


class BatchedBinaryApi(_Batched, BinaryApi):  # type: ignore[misc] # as above
    """Float32 in and out, in batches."""


APIS = {
    ("json", False): JsonApi,
    ("binary", False): BinaryApi,
    ("json", True): BatchedJsonApi,
    ("binary", True): BatchedBinaryApi,
}


def main(file: str, port: int, kind: str, batch: int) -> None:
    """Serve until the process is ended: one worker, one HTTP server, no client file written."""
    api = APIS[kind, batch > 1](file, batch)
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True, timeout=False)
    server.run(host=LOOPBACK, port=port, num_api_servers=1, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
