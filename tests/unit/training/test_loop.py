"""The loop around every iterative method: a resumed training is the uninterrupted one, and divergence is told."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.training.disk import full_after
from training.errors import ConfigError, DataError, DivergedError
from training.loop import Losses, run_loop

ITERATIONS = 10
IDENTITY = {"configuration": "a", "data": "b"}


class Counting:
    """A learner whose weight tells which iterations it has seen, in which order."""

    def __init__(
        self, interrupted_at: int | None = None, diverges_at: int | None = None, stop: signal.Signals = signal.SIGINT
    ) -> None:
        self.weight = torch.zeros(1, dtype=torch.float64)
        self.seen: list[int] = []
        self.interrupted_at = interrupted_at
        self.diverges_at = diverges_at
        self.stop = stop

    def learn(self, iteration: int) -> Losses:
        self.seen.append(iteration)
        self.weight = self.weight * 1.5 + iteration
        if iteration == self.interrupted_at:
            os.kill(os.getpid(), self.stop)
        return {"loss": float("nan") if iteration == self.diverges_at else 1.0}

    def state(self) -> dict[str, Any]:
        return {"weight": self.weight}

    def restore(self, state: dict[str, Any]) -> None:
        self.weight = state["weight"]


def run(
    learner: Counting, checkpoint: Path, *, identity: dict[str, Any] = IDENTITY, interval_s: float = 3600
) -> list[int]:
    """Run to the end; returns the iterations that were reported."""
    reported: list[int] = []
    run_loop(
        learner,
        ITERATIONS,
        checkpoint=checkpoint,
        identity=identity,
        interval_s=interval_s,
        on_iteration=lambda done, total, losses: reported.append(done),
    )
    return reported


def test_every_iteration_is_learned_once_in_order_and_reported(tmp_path: Path) -> None:
    learner = Counting()
    assert run(learner, tmp_path / "c.pt") == list(range(1, ITERATIONS + 1))
    assert learner.seen == list(range(ITERATIONS))


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_goes_on_to_the_same_end(tmp_path: Path, stop: signal.Signals) -> None:
    whole, interrupted, resumed = Counting(), Counting(interrupted_at=3, stop=stop), Counting()
    run(whole, tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        run(interrupted, tmp_path / "c.pt")
    run(resumed, tmp_path / "c.pt")
    assert interrupted.seen + resumed.seen == list(range(ITERATIONS))
    assert torch.equal(resumed.weight, whole.weight)


def test_a_finished_training_is_taken_up_without_another_iteration(tmp_path: Path) -> None:
    first, again = Counting(), Counting()
    run(first, tmp_path / "c.pt")
    run(again, tmp_path / "c.pt")
    assert again.seen == []
    assert torch.equal(again.weight, first.weight)


def test_a_checkpoint_is_written_at_each_interval(tmp_path: Path) -> None:
    learner = Counting(diverges_at=6)
    with pytest.raises(DivergedError, match="loss loss is nan at iteration 7"):
        run(learner, tmp_path / "c.pt", interval_s=0)
    saved = torch.load(tmp_path / "c.pt", weights_only=True)
    assert saved["iterations"] == 6  # the one before stays


def test_a_full_disk_is_told_by_the_checkpoints_name_and_keeps_the_one_before(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Counting(interrupted_at=3), tmp_path / "c.pt")
    before = (tmp_path / "c.pt").read_bytes()
    with full_after(100), pytest.raises(DataError, match="cannot be written") as refused:
        run(Counting(), tmp_path / "c.pt")
    assert str(refused.value).startswith(f"{tmp_path / 'c.pt'}: ")
    assert (tmp_path / "c.pt").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "c.pt"]


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    learner = Counting()
    learner.weight = torch.tensor([float("inf")], dtype=torch.float64)
    with pytest.raises(DivergedError, match="weights are not finite after iteration 10"):
        run(learner, tmp_path / "c.pt")
    assert not (tmp_path / "c.pt").exists()


def test_a_checkpoint_of_another_training_is_refused_by_what_differs(tmp_path: Path) -> None:
    run(Counting(), tmp_path / "c.pt")
    with pytest.raises(ConfigError, match=r"another training \(data differ\)"):
        run(Counting(), tmp_path / "c.pt", identity=IDENTITY | {"data": "other"})


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_a_broken_checkpoint_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(ConfigError, match=r"c\.pt is no whole checkpoint"):
        run(Counting(), tmp_path / "c.pt")


@pytest.mark.parametrize("state", [{}, {"renamed": 1}, 7, None, [1]])
def test_a_checkpoint_whose_state_the_learner_cannot_take_up_is_refused_by_name(tmp_path: Path, state: object) -> None:
    torch.save({"identity": IDENTITY, "iterations": 3, "learner": state}, tmp_path / "c.pt")
    with pytest.raises(ConfigError, match=r"c\.pt is no whole checkpoint of this training; choose another folder"):
        run(Counting(), tmp_path / "c.pt")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_callers_handlers_are_back_after_the_loop(tmp_path: Path, stop: signal.Signals) -> None:
    before = signal.getsignal(stop)
    run(Counting(), tmp_path / "c.pt")
    assert signal.getsignal(stop) is before
