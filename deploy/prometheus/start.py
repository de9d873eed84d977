"""Start a real Prometheus on loopback with a configuration of ours."""

import shutil
import sys
from pathlib import Path
from typing import Self

from deploy.process import LOOPBACK, READY_TIMEOUT_S, Process, ProcessError, free_ports, http_status, scratch_folder

RETENTION = "1h"


class PrometheusServer:
    """A real Prometheus. A context manager; ends exactly the process it has started."""

    def __init__(self, config: Path) -> None:
        """`config`: a prometheus.yml."""
        self._scratch = scratch_folder(self, "prometheus")
        self.url = f"http://{LOOPBACK}:{free_ports(1)[0]}"
        command = [
            str(prometheus_program("prometheus")),
            f"--config.file={config.resolve()}",
            f"--storage.tsdb.path={self._scratch / 'data'}",
            f"--storage.tsdb.retention.time={RETENTION}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]
        self.process = Process("prometheus", command, self._scratch / "prometheus.log")

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> Self:
        """Start and return when it answers queries. Raises ProcessError with the end of its log."""
        self.process.start(lambda: http_status(f"{self.url}/-/ready") == 200, timeout_s)
        return self

    def stop(self) -> None:
        """End the process and remove its data. Idempotent."""
        self.process.stop()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Self:
        return self if self.process.running else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def prometheus_program(name: str) -> Path:
    """`prometheus` or `promtool`, where `install.sh` has put it, or on PATH. Raises ProcessError if there is none."""
    installed = Path(sys.prefix) / "prometheus" / name
    found = str(installed) if installed.is_file() else shutil.which(name)
    if found is None:
        raise ProcessError(f"{name} is missing: run deploy/prometheus/install.sh")
    return Path(found)
