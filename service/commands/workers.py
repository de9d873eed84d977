"""Several processes that serve on one address, and one above them that keeps them running."""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final

from prometheus_client.multiprocess import mark_process_dead

from service.commands.serving import gateway_server, graceful_end_s
from service.logs import configure_logs
from service.metrics import SHARED_FOLDER
from service.settings import Settings

BACKLOG: Final = 2048  # connections that wait to be accepted
WATCH_S: Final = 0.5
RESTART_PAUSE_S: Final = 1.0  # so that a worker that ends at once does not keep the machine busy
EXIT_NOT_STARTED: Final = 3  # as uvicorn's: starting it again would fail the same way

logger = logging.getLogger(__name__)


def serve_with_workers(settings: Settings) -> None:
    """Run `settings.workers` gateways on one listening socket until SIGTERM or SIGINT; accepted requests finish.

    A worker that ends is started again. Exits with 3 when one cannot start.
    """
    configure_logs(settings.log_level)
    with tempfile.TemporaryDirectory(prefix="r3an-metrics-") as folder, _listening(settings) as listener:
        os.environ[SHARED_FOLDER] = folder
        told_to_end = _on_signals()
        workers = [_start(settings, listener) for _ in range(settings.workers)]
        try:
            failed = _keep_running(workers, settings, listener, told_to_end)
        finally:
            _end(workers, graceful_end_s(settings))
    if failed:
        sys.exit(EXIT_NOT_STARTED)


def _keep_running(
    workers: list[SpawnProcess], settings: Settings, listener: socket.socket, told_to_end: threading.Event
) -> bool:
    """Start again what ends, until told to end; returns whether a worker could not start."""
    while not told_to_end.is_set():
        wait([worker.sentinel for worker in workers], WATCH_S)
        for place, worker in enumerate(workers):
            if worker.is_alive() or told_to_end.is_set():
                continue
            mark_process_dead(worker.pid, os.environ[SHARED_FOLDER])  # type: ignore[no-untyped-call] # as the library has it
            if worker.exitcode == EXIT_NOT_STARTED:
                return True
            logger.warning("a worker ended with %s and is started again", worker.exitcode)
            told_to_end.wait(RESTART_PAUSE_S)
            workers[place] = _start(settings, listener)
    return False


def _start(settings: Settings, listener: socket.socket) -> SpawnProcess:
    # Spawned: engines have threads, which a fork would lose.
    worker = multiprocessing.get_context("spawn").Process(target=_work, args=(settings, listener))
    worker.start()
    return worker


def _work(settings: Settings, listener: socket.socket) -> None:
    """What a worker does. It ends with the process above it, however that ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gateway_server(settings).run([listener])


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - only workers run this
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _end(workers: list[SpawnProcess], patience_s: float) -> None:
    for worker in workers:
        worker.terminate()
    until = time.monotonic() + patience_s
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))
        worker.kill()
        worker.join()


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            logger.error("cannot listen on port %d: %s", settings.port, error.strerror)  # noqa: TRY400 - one line
            sys.exit(EXIT_NOT_STARTED)
        listener.listen(BACKLOG)
        yield listener


def _on_signals() -> threading.Event:
    told_to_end = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        told_to_end.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return told_to_end
