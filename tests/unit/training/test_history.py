"""The history of losses: bounded, the mean of each stretch, and the same whether or not training was interrupted."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.training.samples import make_fit, sample_pairs
from training.errors import ConfigError, DivergedError
from training.history import HISTORY_FILE, POINTS_MAX, History
from training.loop import Losses
from training.methods.registry import entry


def losses_at(iterations: int) -> list[dict[str, float]]:
    values = np.random.default_rng(0).random(iterations)
    return [{"loss": float(value)} for value in values]


def record(iterations: int) -> History:
    history = History(iterations)
    for iteration, losses in enumerate(losses_at(iterations), start=1):
        history.add(iteration, losses)
    return history


def test_a_short_training_is_kept_iteration_by_iteration() -> None:
    points = record(7).points
    assert [point["iteration"] for point in points] == list(range(1, 8))
    assert [point["losses"] for point in points] == losses_at(7)


@pytest.mark.parametrize("iterations", [1000, 1001, 12_345])
def test_a_long_training_is_kept_as_the_means_of_equal_stretches(iterations: int) -> None:
    points = record(iterations).points
    values = np.array([losses["loss"] for losses in losses_at(iterations)])
    ends = [point["iteration"] for point in points]
    assert len(points) <= POINTS_MAX
    assert ends[-1] == iterations
    means = [part.mean() for part in np.split(values, ends[:-1])]
    np.testing.assert_allclose([point["losses"]["loss"] for point in points], means, rtol=1e-12)


def test_a_loss_that_is_not_finite_leaves_no_point_and_no_trace_in_the_means() -> None:
    history = History(2000)
    history.add(1, {"loss": 1.0})
    history.add(2, {"loss": float("nan")})
    history.add(3, {"loss": float("inf")})
    history.add(4, {"loss": float("nan")})
    assert history.points == [{"iteration": 2, "losses": {"loss": 1.0}}]


def test_a_history_goes_on_in_the_middle_of_a_stretch() -> None:
    first, second = History(2500), History(2500)
    losses = losses_at(2500)
    for iteration in range(1, 1001):  # 333 stretches of three, and one iteration
        first.add(iteration, losses[iteration - 1])
    second.restore(json.loads(json.dumps(first.state())))
    for iteration in range(1001, 2501):
        second.add(iteration, losses[iteration - 1])
    assert second.points == record(2500).points


def test_a_diverged_training_leaves_the_losses_up_to_there(tmp_path: Path) -> None:
    fit = make_fit(sample_pairs(tmp_path), tmp_path / "checkpoint.pt")
    with pytest.raises(DivergedError):
        fit.learn(Diverging())
    points = json.loads((tmp_path / HISTORY_FILE).read_text())["points"]
    assert points == [{"iteration": i, "losses": {"loss": 1.0}} for i in (1, 2)]


class Diverging:
    """A learner whose third loss is no number."""

    def learn(self, iteration: int) -> Losses:
        return {"loss": 1.0 if iteration < 2 else float("nan")}

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


def test_a_resumed_training_has_the_history_of_an_undisturbed_one(tmp_path: Path) -> None:
    pairs = sample_pairs(tmp_path)
    histories = {}
    for name in ("whole", "resumed"):
        (tmp_path / name).mkdir()
        fit = make_fit(pairs, tmp_path / name / "checkpoint.pt")
        if name == "resumed":
            with pytest.raises(KeyboardInterrupt):
                entry(fit.config.method).fit(replace(fit, on_iteration=stop_after_three))
        entry(fit.config.method).fit(fit)
        histories[name] = json.loads((tmp_path / name / HISTORY_FILE).read_text())
    assert [point["iteration"] for point in histories["whole"]["points"]] == [1, 2, 3, 4, 5, 6]
    assert histories["resumed"] == histories["whole"]


@pytest.mark.parametrize("part", ["optimizer", "network", "history"])
def test_a_checkpoint_that_lacks_a_part_of_its_state_is_refused_and_no_history_is_written(
    tmp_path: Path, part: str
) -> None:
    fit = make_fit(sample_pairs(tmp_path), tmp_path / "checkpoint.pt")
    entry(fit.config.method).fit(fit)
    (tmp_path / HISTORY_FILE).unlink()
    saved = torch.load(fit.checkpoint, weights_only=True)
    saved["learner"][part] = rename_first(saved["learner"][part])
    torch.save(saved, fit.checkpoint)
    with pytest.raises(ConfigError, match=r"checkpoint\.pt is no whole checkpoint of this training"):
        entry(fit.config.method).fit(fit)
    assert not (tmp_path / HISTORY_FILE).exists()


def rename_first(part: dict[str, Any]) -> dict[str, Any]:
    first, *others = part
    return {"renamed": part[first]} | {name: part[name] for name in others}


def stop_after_three(done: int, *_: object) -> None:
    """Press Ctrl-C."""
    if done == 3:
        signal.raise_signal(signal.SIGINT)
