"""A gateway before a real Triton that serves one untrained translator, as the benchmarks measure it."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.translate import SOURCE, TARGET, export_untrained
from contract.manifest import Method
from deploy.gateway import GatewayServer
from deploy.triton.start import TritonServer


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs: its processes, the translator's version folder, and the gateway's settings."""

    gateway: GatewayServer
    triton: TritonServer
    version: Path
    settings: Mapping[str, str]


@contextmanager
def served(method: Method, changes: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Serve `bench-source-256` to `bench-target-256` by this method; `changes`: of the gateway's `R3AN_*` settings."""
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "model_repository"
        version = export_untrained(method, SOURCE, TARGET, repository)
        with TritonServer(repository) as triton:
            settings = {
                "R3AN_ENVIRONMENT": "development",
                "R3AN_ENGINE": "triton",
                "R3AN_TRITON_URL": triton.grpc_address,
                "R3AN_MODEL_REPOSITORY": str(repository),
                "R3AN_GALLERY_DIR": str(Path(folder) / "galleries"),
                "R3AN_LOG_LEVEL": "warning",
            } | dict(changes or {})
            with GatewayServer(settings) as gateway:
                yield Stack(gateway, triton, version, settings)
