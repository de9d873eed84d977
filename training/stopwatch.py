"""The seconds that a training takes over all its runs, kept on disk while it runs."""

import json
import math
import time
from pathlib import Path

from training.errors import ConfigError
from training.loop import Losses, OnIteration
from training.workspace import write_atomically


class Stopwatch:
    """Counts on from what earlier runs took. After a kill no more than `interval_s` are missing."""

    def __init__(self, file: Path, before_s: float, interval_s: float) -> None:
        self._file = file
        self._before_s = before_s
        self._interval_s = interval_s
        self._started_at = self._kept_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before_s + time.monotonic() - self._started_at

    def keep(self) -> None:
        """Write the seconds so far."""
        write_atomically(self._file, json.dumps(self.seconds))
        self._kept_at = time.monotonic()

    def watch(self, on_iteration: OnIteration) -> OnIteration:
        """Report on, and keep the seconds now and then."""

        def watched(done: int, total: int, losses: Losses) -> None:
            on_iteration(done, total, losses)
            if time.monotonic() - self._kept_at > self._interval_s:
                self.keep()

        return watched


def read_seconds(file: Path) -> float | None:
    """Seconds that earlier runs took; None where none were kept.

    A damaged file is not taken for zero: the seconds are published in the manifest, where they would silently be
    untrue. Nothing is lost by the refusal, as it comes before training and the checkpoint stays.

    Raises:
        ConfigError: the file is damaged.
    """
    if not file.exists():
        return None
    try:
        seconds = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:  # neither JSON nor UTF-8
        seconds = None
    if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise ConfigError(f"{file}: is no number of seconds; delete it to go on and count from zero")
    return float(seconds)
