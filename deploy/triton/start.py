"""Start the real tritonserver that the wheel `nvidia-pytriton` carries, on CPU, for a model repository of ours.

The repository says `platform: "pytorch_libtorch"`, as for NVIDIA's image; here a Python-based backend of that name
serves it (`backend/pytorch/model.py`). The package pytriton itself is never imported: it wants numpy 1, and much more.
"""

import argparse
import json
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.process import (
    HTTP_TIMEOUT_S,
    LOOPBACK,
    OWN_OUTPUT,
    READY_TIMEOUT_S,
    Process,
    ProcessError,
    free_ports,
    http_status,
    interrupt_on_signals,
    scratch_folder,
    wait_for_end,
)
from deploy.triton.staging import stage_backends, triton_environment, wheel_root

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the kernel keeps POSIX shared memory; nothing is created here
STUB_MEMORY_BYTES = 8 * 1024**2  # of one instance: four calls of 512 features of 512 dimensions, both ways
ALL_MODELS = ("*",)
EXIT_SERVER_ENDED = 1
EXIT_BAD_INPUT = 2


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of one Triton."""

    http: int
    grpc: int
    metrics: int


class TritonServer:
    """A real Triton on loopback. A context manager; ends exactly the process it has started."""

    def __init__(
        self,
        repository: Path,
        *,
        models: Sequence[str] = ALL_MODELS,
        address: str = LOOPBACK,
        ports: Ports | None = None,
        log: Path | None = None,
    ) -> None:
        """`models`: those to load at start. `address`: where it listens. `ports`: None means free ones."""
        self.ports = Ports(*free_ports(3)) if ports is None else ports
        self._repository = repository
        self._models = models
        self._address = address
        self._scratch = scratch_folder(self, "triton")
        # Triton leaves its shared memory behind when it is killed: a prefix of our own tells which to unlink.
        self._memory_prefix = f"{self._scratch.name}-"
        stage_backends(self._scratch / "backends")
        log = self._scratch / "triton.log" if log is None else log
        self.process = Process("triton", self._command(), log, triton_environment())

    @property
    def http_url(self) -> str:
        """Base URL of the HTTP interface."""
        return f"http://{LOOPBACK}:{self.ports.http}"

    @property
    def grpc_address(self) -> str:
        """host:port of the gRPC interface, as tritonclient wants it."""
        return f"{LOOPBACK}:{self.ports.grpc}"

    @property
    def metrics_url(self) -> str:
        """Where Prometheus scrapes it."""
        return f"http://{LOOPBACK}:{self.ports.metrics}/metrics"

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> Self:
        """Start, load the models and return when the server answers. Again after `kill`: same ports.

        Raises:
            ProcessError: it ended or was not ready in time; with the end of its log.
        """
        # A model that fails to load must not hide the others: the server itself answers when it is live.
        try:
            self.process.start(lambda: http_status(f"{self.http_url}/v2/health/live") == 200, timeout_s)
        except BaseException:
            self._unlink_shared_memory()
            raise
        return self

    def stop(self) -> None:
        """Let accepted requests finish, end the process and remove its files. Idempotent."""
        self.process.stop()
        self._unlink_shared_memory()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def kill(self) -> None:
        """End the process at once, as a crash would; `start` brings it back on the same ports."""
        self.process.kill()
        self._unlink_shared_memory()

    def load(self, model: str) -> None:
        """Load or reload a model from the repository. Raises ProcessError with Triton's reason."""
        self._post(f"/v2/repository/models/{model}/load")

    def unload(self, model: str) -> None:
        """Unload a model. Raises ProcessError with Triton's reason."""
        self._post(f"/v2/repository/models/{model}/unload")

    def is_model_ready(self, model: str, version: int | None = None) -> bool:
        """Whether a model (or one version of it) is loaded."""
        which = model if version is None else f"{model}/versions/{version}"
        return http_status(f"{self.http_url}/v2/models/{which}/ready") == 200

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a counter or gauge over all series that carry these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        with urllib.request.urlopen(self.metrics_url, timeout=HTTP_TIMEOUT_S) as answer:  # noqa: S310 - loopback
            lines = answer.read().decode().splitlines()
        series = [line for line in lines if line.startswith(f"{name}{{") and all(label in line for label in wanted)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in series)

    def shared_memory(self) -> list[Path]:
        """The regions of shared memory that this server has made."""
        return list(SHARED_MEMORY.glob(f"{self._memory_prefix}*"))

    def __enter__(self) -> Self:
        return self if self.process.running else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _command(self) -> list[str]:
        root = wheel_root() / "tritonserver"
        return [
            str(root / "bin" / "tritonserver"),
            f"--model-repository={self._repository.resolve()}",
            f"--backend-directory={self._scratch / 'backends'}",
            f"--cache-directory={root / 'caches'}",
            f"--backend-config=python,shm-region-prefix-name={self._memory_prefix}",
            # A stub has been seen to die, once, under load where its region ended: one that need not grow is safer.
            f"--backend-config=python,shm-default-byte-size={STUB_MEMORY_BYTES}",
            # Polling reloads a model whenever any file beside it changes, and refuses explicit loads.
            "--model-control-mode=explicit",
            *(f"--load-model={model}" for model in self._models),
            "--exit-on-error=false",
            # The configuration is complete as exported; completing it would start every backend process twice.
            "--disable-auto-complete-config",
            f"--http-address={self._address}",
            f"--grpc-address={self._address}",
            f"--metrics-address={self._address}",
            f"--http-port={self.ports.http}",
            f"--grpc-port={self.ports.grpc}",
            f"--metrics-port={self.ports.metrics}",
            "--allow-gpu-metrics=false",
        ]

    def _post(self, path: str) -> None:
        request = urllib.request.Request(f"{self.http_url}{path}", data=b"{}", method="POST")  # noqa: S310 - loopback
        try:
            urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S).close()  # noqa: S310 - loopback
        except urllib.error.HTTPError as error:
            raise ProcessError(json.loads(error.read()).get("error", "refused")) from error

    def _unlink_shared_memory(self) -> None:
        for region in self.shared_memory():
            region.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a repository until a signal ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--address", default=LOOPBACK, help="where to listen; loopback unless told otherwise")
    parser.add_argument("--http-port", type=int, default=8000)
    parser.add_argument("--grpc-port", type=int, default=8001)
    parser.add_argument("--metrics-port", type=int, default=8002)
    chosen = parser.parse_args(arguments)
    if not chosen.repository.is_dir():
        print(f"no model repository at {chosen.repository}", file=sys.stderr)  # noqa: T201 - a command's answer
        return EXIT_BAD_INPUT
    interrupt_on_signals()
    ports = Ports(chosen.http_port, chosen.grpc_port, chosen.metrics_port)
    try:
        with TritonServer(chosen.repository, address=chosen.address, ports=ports, log=OWN_OUTPUT) as server:
            wait_for_end([server.process])
    except KeyboardInterrupt:
        return 0
    return EXIT_SERVER_ENDED


if __name__ == "__main__":
    sys.exit(main())
