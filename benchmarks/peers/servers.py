"""Peers that serve: started for a model.pt on a free port, frozen while others are measured, ended exactly."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.process import LOOPBACK, Process, free_ports, http_status
from deploy.triton.staging import TUNING

NAIVE, LITSERVE = "benchmarks.peers.naive_server", "benchmarks.peers.litserve_server"


class PeerServer:
    """A running peer. It sleeps except while `awake`: LitServe's workers poll, which would slow down the others."""

    def __init__(self, process: Process, port: int) -> None:
        self.port = port
        self._process = process

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run inside the context."""
        self.signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.signal(signal.SIGSTOP)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to all that it has started."""
        os.killpg(self._process.pid, number)


@contextmanager
def serving(module: str, model: Path, *arguments: str) -> Iterator[PeerServer]:
    """Start a peer and wait until it answers; it is ended with the context. Raises ProcessError."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", module, str(model), str(port), *arguments]
    with tempfile.TemporaryDirectory() as scratch:
        process = Process(module, command, Path(scratch) / "peer.log", os.environ | TUNING)
        process.start(lambda: http_status(f"http://{LOOPBACK}:{port}/health") == 200)
        peer = PeerServer(process, port)
        try:
            peer.signal(signal.SIGSTOP)
            yield peer
        finally:
            peer.signal(signal.SIGCONT)
            process.stop()
