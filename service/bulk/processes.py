"""Worker processes that each load a translator once, and end with the process that started them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, TypeVar

from service.bulk.errors import JobError, StoppedError
from service.bulk.translator import Translator

Task = TypeVar("Task")
Stopped = Callable[[], bool]
LOOK_UP_S = 0.2  # between looks at whether to stop
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # the processes are the parallelism


class _Worker:
    """What a worker process holds between tasks."""

    version_folder: Path
    stop: Event
    translator: Translator | None = None


def translate_in_processes(
    run: Callable[[Translator, Task, Stopped], int],
    tasks: Sequence[Task],
    version_folder: Path,
    workers: int,
    stopped: Stopped,
) -> Iterator[int]:
    """Run every task in one of at most `workers` processes; yields the results as they come.

    The first failure, or `stopped`, ends the tasks under way at their next batch.

    Raises:
        BulkError: of a task, because a worker ended early, or because it is told to stop.
    """
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    count = max(1, min(workers, len(tasks)))
    pool = ProcessPoolExecutor(count, context, _begin, (version_folder, stop))
    try:
        with _environment(ONE_THREAD):
            left = {pool.submit(_run, run, task) for task in tasks}
        while left:
            done, left = wait(left, LOOK_UP_S, FIRST_COMPLETED)
            yield from (future.result() for future in done)
            if stopped():
                raise StoppedError
    except BrokenProcessPool:
        raise JobError("a worker process ended early, perhaps for want of memory; run again to go on") from None
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(version_folder: Path, stop: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the starter, which says stop
    threading.Thread(target=_end_with_starter, daemon=True).start()
    _Worker.version_folder, _Worker.stop = version_folder, stop


def _end_with_starter() -> None:
    starter = multiprocessing.parent_process()
    if starter is not None:
        starter.join()
        os._exit(1)  # killed, the starter could say nothing; what is half written is a `.partial`


def _run(run: Callable[[Translator, Any, Stopped], int], task: object) -> int:
    if _Worker.translator is None:
        _Worker.translator = Translator(_Worker.version_folder)
    return run(_Worker.translator, task, _Worker.stop.is_set)


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    """Environment variables for the processes that start meanwhile."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
