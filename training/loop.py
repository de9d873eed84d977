"""The loop around every iterative method: progress, checkpoints, resumption, divergence."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor

from training.errors import ConfigError, DivergedError
from training.parallel import ALONE, Parallel
from training.workspace import save_atomically

Losses = dict[str, float]
OnIteration = Callable[[int, int, Losses], None]  # iterations done, in all, latest losses

STOPS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and how containers and systemd stop a process
# What reading a damaged checkpoint raises, and what a learner does with a state that is not its own.
UNFIT = (OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, UnpicklingError)


class Learner(Protocol):
    """Something that learns one iteration at a time and can be set aside."""

    def learn(self, iteration: int) -> Losses:
        """One update; must depend on nothing but its state and `iteration`."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to go on."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        ...


def run_loop(
    learner: Learner,
    iterations: int,
    *,
    checkpoint: Path,
    identity: dict[str, Any],
    interval_s: float,
    on_iteration: OnIteration,
    parallel: Parallel = ALONE,
) -> None:
    """Learn up to `iterations`, resuming from `checkpoint` and writing it every `interval_s` and on interruption.

    `identity` is what must agree for a checkpoint to be this training's: configuration and data fingerprint.
    Processes that learn together resume from one checkpoint, stop after the same iteration, and the first one writes.

    Raises:
        ConfigError: the checkpoint belongs to another training, or is damaged or incomplete.
        DataError: it cannot be written; the one before stays.
        DivergedError: a loss or a weight is not finite; the checkpoint before it stays.
        KeyboardInterrupt: passed on after the checkpoint is written.
    """
    done = _resume(learner, checkpoint, identity)
    written_at = time.monotonic()
    with _interruption() as interrupted:
        while done < iterations:
            losses = learner.learn(done)
            for name, loss in losses.items():
                if not math.isfinite(loss):
                    raise DivergedError(f"{name} loss is {loss} at iteration {done + 1}")
            done += 1
            on_iteration(done, iterations, losses)
            stopped = parallel.any(interrupted.is_set())
            if parallel.rank == 0 and (stopped or time.monotonic() - written_at > interval_s):
                _write(learner, checkpoint, identity, done)
                written_at = time.monotonic()
            if stopped:
                raise KeyboardInterrupt
    if parallel.rank == 0:
        _write(learner, checkpoint, identity, done)


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Turn Ctrl-C and SIGTERM into a flag, so that an iteration is finished and checkpointed whole.

    A second one acts at once.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    previous = {stop: signal.getsignal(stop) for stop in STOPS}

    def restore() -> None:
        for stop, handler in previous.items():
            signal.signal(stop, handler)

    def on_stop(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        restore()

    for stop in STOPS:
        signal.signal(stop, on_stop)
    try:
        yield interrupted
    finally:
        restore()


def _resume(learner: Learner, checkpoint: Path, identity: dict[str, Any]) -> int:
    if not checkpoint.exists():
        return 0
    try:
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
        found, done = dict(saved["identity"]), int(saved["iterations"])
        changed = sorted(key for key in found | identity if found.get(key) != identity.get(key))
        if not changed:
            learner.restore(saved["learner"])  # a state that can be read may still not fit
    except UNFIT as error:
        reason = "is no whole checkpoint of this training; choose another folder"
        raise ConfigError(f"{checkpoint} {reason}") from error
    if changed:
        raise ConfigError(f"{checkpoint} is of another training ({', '.join(changed)} differ); choose another folder")
    return done


def _write(learner: Learner, checkpoint: Path, identity: dict[str, Any], done: int) -> None:
    state = learner.state()
    if not all(tensor.isfinite().all() for tensor in _tensors(state)):
        raise DivergedError(f"weights are not finite after iteration {done}")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(checkpoint, {"identity": identity, "iterations": done, "learner": state})


def _tensors(state: Any) -> Iterator[Tensor]:  # noqa: ANN401 - whatever nests in a state
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict | list):
        for part in state.values() if isinstance(state, dict) else state:
            yield from _tensors(part)
