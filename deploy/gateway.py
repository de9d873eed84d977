"""The gateway as a process of its own, on a loopback port, from `R3AN_*` settings."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from deploy.process import LOOPBACK, READY_TIMEOUT_S, Process, free_ports, http_status, scratch_folder


class GatewayServer:
    """`r3an-gateway serve` under supervision. A context manager; ends exactly the process it has started."""

    def __init__(self, settings: Mapping[str, str], *, log: Path | None = None) -> None:
        """`settings`: R3AN_* variables; no other one of the surroundings applies. Without R3AN_PORT a free port."""
        self._scratch = scratch_folder(self, "gateway")
        self.port = int(settings.get("R3AN_PORT") or free_ports(1)[0])
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("R3AN_")}
        environment = surroundings | dict(settings) | {"R3AN_HOST": LOOPBACK, "R3AN_PORT": str(self.port)}
        command = [sys.executable, "-m", "service.cli", "serve"]
        self.process = Process("gateway", command, self._scratch / "gateway.log" if log is None else log, environment)

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> Self:
        """Start and return when it is ready to translate and search.

        Raises:
            ProcessError: it ended or was not ready in time; with the end of its log.
        """
        self.process.start(lambda: http_status(f"{self.url}/health/ready") == 200, timeout_s)
        return self

    def stop(self) -> None:
        """Let accepted requests finish, end the process and remove its scratch files. Idempotent."""
        self.process.stop()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Self:
        return self if self.process.running else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
