"""What decides the weights beside data and settings: software, threads, the CPU's instructions, precision, devices."""

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from training.errors import ConfigError
from training.hardware import DEVICES, DEVICES_MAX, PLAIN, PRECISION, Hardware, Precision
from training.workspace import write_atomically

THREADS, CPU, GPU = "threads", "cpu", "gpu"
THREADS_MAX = 1024
BETWEEN, NONE = ", ", "none"
OLDER = {PRECISION: str(PLAIN.precision), DEVICES: str(PLAIN.devices)}  # left out of manifests where they were these

Conditions = dict[str, str]


def conditions_now(hardware: Hardware) -> Conditions:
    """Those of a training that begins now on such hardware."""
    gpu = {GPU: torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return gpu | {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        THREADS: str(torch.get_num_threads()),  # sums are added up in as many parts, which rounds them otherwise
        CPU: torch.backends.cpu.get_cpu_capability(),
        PRECISION: str(hardware.precision),
        DEVICES: str(hardware.devices),
    }


def keep_conditions(file: Path, now: Mapping[str, str], *, is_begun: bool) -> Conditions:
    """Those of all runs of a training, kept beside its checkpoint: where they differ all that there were, as `2, 1`.

    Raises:
        ConfigError: what earlier runs kept is damaged.
    """
    merged = merge_conditions(_read(file), now) if is_begun and file.exists() else dict(now)
    write_atomically(file, json.dumps(merged) + "\n")
    return merged


def merge_conditions(before: Mapping[str, str], now: Mapping[str, str]) -> Conditions:
    """Those of a training that earlier runs, or its teacher's training, had part in; the latest stand last."""
    names = [*before, *(name for name in now if name not in before)]
    return {name: _merge(before.get(name, NONE), now.get(name, NONE)) for name in names}


def hardware_of(recorded: Mapping[str, str]) -> Hardware:
    """The last that was trained on; fewer GPUs where there are fewer now.

    Raises:
        ValueError: a precision or a number of devices that does not exist.
    """
    last = {name: value.rsplit(BETWEEN, 1)[-1] for name, value in (OLDER | dict(recorded)).items()}
    devices = int(last[DEVICES])
    if not 1 <= devices <= DEVICES_MAX:
        raise ValueError(f"{devices} devices")
    if torch.cuda.is_available():
        devices = min(devices, torch.cuda.device_count())
    return Hardware(devices, Precision(last[PRECISION]))


@contextmanager
def threads_of(recorded: Mapping[str, str]) -> Iterator[None]:
    """Compute in as many threads as are recorded; in as many as before where none or several numbers are."""
    before, number = torch.get_num_threads(), recorded.get(THREADS, "")
    if number.isdecimal() and 1 <= int(number) <= THREADS_MAX:
        torch.set_num_threads(int(number))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def changed_conditions(recorded: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Which differ, in words; empty where none does."""
    before = OLDER | dict(recorded)
    names = sorted(name for name in before | dict(now) if before.get(name) != now.get(name))
    return BETWEEN.join(f"{name} {now.get(name, NONE)} instead of {before.get(name, NONE)}" for name in names)


def _merge(before: str, now: str) -> str:
    latest = now.split(BETWEEN)
    return BETWEEN.join([*(part for part in before.split(BETWEEN) if part not in latest), *latest])


def _read(file: Path) -> Conditions:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:  # neither JSON nor UTF-8
        kept = None
    if not isinstance(kept, dict) or not all(isinstance(value, str) for value in kept.values()):
        raise ConfigError(f"{file}: does not say under what conditions the training began; choose another folder")
    return kept
