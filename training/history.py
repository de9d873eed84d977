"""The losses of a training, thinned to a bounded number of points: what a training curve is drawn from."""

import json
import math
from pathlib import Path
from typing import Any

from training.loop import Learner, Losses
from training.workspace import write_atomically

HISTORY_FILE = "history.json"
POINTS_MAX = 1000


class History:
    """Means of the losses over equal stretches of iterations, at most a thousand of them.

    The length of a stretch follows from the number of iterations alone and an open stretch is part of the state, so
    that a resumed training has the history of an undisturbed one.
    """

    def __init__(self, iterations: int) -> None:
        self.points: list[dict[str, Any]] = []  # of each ended stretch its last iteration and the mean of each loss
        self._iterations = iterations
        self._stretch = max(1, math.ceil(iterations / POINTS_MAX))
        self._open: dict[str, list[float]] = {}  # name -> sum and number of the losses of the open stretch

    def add(self, iteration: int, losses: Losses) -> None:
        """Take in the losses of one iteration, counted from 1. What is not finite is left out: it has no mean."""
        for name, loss in losses.items():
            if math.isfinite(loss):
                total = self._open.setdefault(name, [0.0, 0])
                total[0] += loss
                total[1] += 1
        if self._open and (iteration % self._stretch == 0 or iteration == self._iterations):
            means = {name: total / number for name, (total, number) in self._open.items()}
            self.points.append({"iteration": iteration, "losses": means})
            self._open = {}

    def state(self) -> dict[str, Any]:
        """Everything needed to go on."""
        return {"points": self.points, "open": self._open}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.points, self._open = list(state["points"]), dict(state["open"])

    def write(self, file: Path) -> None:
        """Write the points as JSON, atomically."""
        write_atomically(file, json.dumps({"stretch": self._stretch, "points": self.points}) + "\n")


class Recorded:
    """A learner whose losses are kept, in its checkpoints too."""

    def __init__(self, learner: Learner, iterations: int) -> None:
        self.history = History(iterations)
        self._learner = learner

    def learn(self, iteration: int) -> Losses:
        """One update of the learner."""
        losses = self._learner.learn(iteration)
        self.history.add(iteration + 1, losses)
        return losses

    def state(self) -> dict[str, Any]:
        """The learner's state and the history."""
        return self._learner.state() | {"history": self.history.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state; one from before histories were kept has none."""
        self._learner.restore(state)  # first: of a state that it refuses there is no history either
        if "history" in state:
            self.history.restore(state["history"])
