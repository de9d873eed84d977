"""Trainings on several devices, on a GPU or in mixed precision: Lightning Fabric says where, processes meet, and end.

This process is the first of them: it alone shows progress, writes, and is told to stop.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from mmap import mmap
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment, find_free_network_port
from lightning_fabric.strategies.ddp import DDPStrategy
from numpy.typing import NDArray

from training.config import FitConfig
from training.errors import ConfigError, ProcessError, TrainingError
from training.hardware import Hardware, Precision
from training.loop import STOPS
from training.methods.base import Fit, Learned
from training.methods.registry import entry
from training.models.translator import Translator
from training.parallel import Parallel, check_shares

WAIT_MAX = timedelta(minutes=5)  # of one process for another, at the start and in every exchange
END_WAIT_S = 10.0  # until a process that should have ended is killed


def fit_on_devices(fit: Fit, hardware: Hardware) -> Translator:
    """Train on the devices up to the last checkpoint, then make the translator of it alone.

    Raises:
        TrainingError: as without devices, or a process that ended early.
    """
    method = entry(fit.config.method).fit
    with _companions(fit, hardware), _place(0, hardware) as parallel:
        method(replace(fit, parallel=parallel))
    return method(fit)


def check_batches(hardware: Hardware, config: FitConfig, rows: int) -> None:
    """Check the hardware for batches of `rows` training rows and interpolated ones. Raises as `check_hardware`."""
    for batch_rows in (min(config.batch_rows - config.interpolated_rows, rows), config.interpolated_rows):
        check_hardware(hardware, batch_rows)


def check_hardware(hardware: Hardware, batch_rows: int) -> None:
    """Raises ConfigError for devices that are not there or cannot share a batch equally, or a precision they lack."""
    devices = hardware.devices
    if torch.cuda.is_available() and devices > torch.cuda.device_count():
        raise ConfigError(f"--devices {devices}: this machine has {torch.cuda.device_count()} GPUs")
    if hardware.precision is Precision.FLOAT16 and not torch.cuda.is_available():
        raise ConfigError(f"--precision {hardware.precision}: needs a GPU; {Precision.BFLOAT16} does not")
    check_shares(batch_rows, devices)


@contextmanager
def _companions(fit: Fit, hardware: Hardware) -> Iterator[None]:
    """The other processes; when this one has learned, or cannot, they are gone."""
    context = multiprocessing.get_context("spawn")
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port())}
    threads = {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // hardware.devices))}
    others = [
        context.Process(target=_accompany, args=(rank, hardware, replace(fit, on_iteration=_ignore)), daemon=True)
        for rank in range(1, hardware.devices)
    ]
    wait_s = 0.0
    try:
        with _environment(meeting | threads):
            for process in others:
                _start(process)
            yield
    except Learned:
        wait_s = END_WAIT_S
    except RuntimeError as error:  # an exchange that broke off
        raise _explained(others, error) from error
    finally:
        for process in others:
            _end(process, wait_s)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _start(process: BaseProcess) -> None:
    """Start a process that ignores Ctrl-C from its first moment: a terminal sends it to all, the first one decides."""
    if threading.current_thread() is not threading.main_thread():
        process.start()
        return
    previous = {stop: signal.signal(stop, signal.SIG_IGN) for stop in STOPS}
    try:
        process.start()
    finally:
        for stop, handler in previous.items():
            signal.signal(stop, handler)


def _end(process: BaseProcess, wait_s: float) -> None:
    if process.pid is None:
        return
    process.join(wait_s)
    process.kill()
    process.join()


def _explained(others: Sequence[BaseProcess], error: RuntimeError) -> Exception:
    """What broke an exchange off: a process that ended by itself, or else the error as it is."""
    ended = connection.wait([process.sentinel for process in others], timeout=END_WAIT_S) if others else []
    for rank, process in enumerate(others, start=1):
        if process.sentinel in ended:
            process.join(END_WAIT_S)  # its code comes a moment after its end
        if process.exitcode:
            return ProcessError(f"process {rank} of {len(others) + 1} ended with code {process.exitcode}")
    return error


def _accompany(rank: int, hardware: Hardware, fit: Fit) -> None:
    """What another process than the first does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(Learned, KeyboardInterrupt, TrainingError), _place(rank, hardware) as parallel:
        entry(fit.config.method).fit(replace(fit, parallel=parallel))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _place(rank: int, hardware: Hardware) -> Iterator[Parallel]:
    """This process's place, connected to the others."""
    for name in ("lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    threads = torch.get_num_threads()
    with _environment({"LOCAL_RANK": str(rank)}):
        fabric = Fabric(
            accelerator="cuda" if torch.cuda.is_available() else "cpu",
            devices=hardware.devices,
            strategy=DDPStrategy(timeout=WAIT_MAX) if hardware.devices > 1 else "auto",
            precision=hardware.precision.value,
            plugins=[LightningEnvironment()],
        )
        try:
            torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
            fabric.launch()
            yield Parallel(rank, hardware.devices, fabric.device, hardware.precision, fabric.autocast)
        finally:
            torch.set_num_threads(threads)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables, as they were before afterwards; Fabric sets some too."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _open(file: str) -> NDArray[Any]:
    return np.load(file, mmap_mode="r")  # type: ignore[no-any-return]


def _reduce(array: np.memmap[Any, Any]) -> tuple[Any, ...]:
    """A mapped file travels by its name; a part of one by its values."""
    return (_open, (str(array.filename),)) if isinstance(array.base, mmap) else (np.asarray, (np.array(array),))


ForkingPickler.register(np.memmap, _reduce)


def _ignore(*_: object) -> None:
    """Progress is the first process's to show."""
