"""Trainings on devices: the weights of one process, resumed from its checkpoint, and nobody left behind."""

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from contract.manifest import Method
from tests.unit.training.samples import SOURCE, TARGET, ignore_iteration, sample_pairs
from training.config import FitConfig
from training.errors import ConfigError, ProcessError
from training.fit import CHECKPOINT_FILE, fit_pairs
from training.hardware import PLAIN, Hardware, Precision
from training.loop import Losses, OnIteration
from training.models.translator import translate
from training.pairs import PairedFeatures
from training.processes import check_hardware

TWO, BFLOAT16 = Hardware(devices=2), Hardware(precision=Precision.BFLOAT16)
ROWS = np.arange(24)
SETTINGS: dict[str, object] = {"iterations": 3, "batch_rows": 8, "learning_rate": 1e-3, "checkpoint_interval_s": 1e-9}
R3AN = {"method": Method.R3AN, "optimizer": "sgd", "learning_rate": 1e-4}  # small steps: rounding is not amplified
RESIDUAL = {"method": Method.RESIDUAL, "contrast_weight": 1.0, "average_decay": 0.5}


@pytest.fixture
def pairs(tmp_path: Path) -> PairedFeatures:
    return sample_pairs(tmp_path)


def fit(
    pairs: PairedFeatures,
    out: Path,
    hardware: Hardware,
    settings: dict[str, object],
    on_iteration: OnIteration = ignore_iteration,
) -> np.ndarray:
    """Train, and translate the sources."""
    config = FitConfig.model_validate(SETTINGS | settings)
    translator, _ = fit_pairs(pairs, ROWS, SOURCE, TARGET, config, out, on_iteration, hardware)
    return translate(translator, np.asarray(pairs.features[SOURCE]))


def stop_after(iterations: int) -> OnIteration:
    def on_iteration(done: int, _: int, __: Losses) -> None:
        if done == iterations:
            raise KeyboardInterrupt

    return on_iteration


def weights(out: Path) -> torch.Tensor:
    """All parameters of R³AN's checkpoint in one vector; statistics left out."""
    network = torch.load(out / CHECKPOINT_FILE, weights_only=True)["learner"]["network"]
    return torch.cat([tensor.flatten() for name, tensor in network.items() if name.endswith(("weight", "bias"))])


def test_r3an_begun_alone_goes_on_in_two_processes_to_the_weights_of_one(pairs: PairedFeatures, tmp_path: Path) -> None:
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    fit(pairs, whole, PLAIN, R3AN)
    environment, threads, reported = dict(os.environ), torch.get_num_threads(), []
    with pytest.raises(KeyboardInterrupt):
        fit(pairs, shared, PLAIN, R3AN, stop_after(2))
    begun = weights(shared)  # of the checkpoint after one iteration
    translated = fit(pairs, shared, TWO, R3AN, lambda done, *_: reported.append(done))
    moved, apart = (weights(whole) - begun).norm(), (weights(whole) - weights(shared)).norm()
    assert apart < 0.05 * moved, "float32's rounding, which thin batch norms amplify"
    assert reported == [2, 3], "once, and not the iterations before the checkpoint"
    assert np.isfinite(translated).all()
    assert (dict(os.environ), torch.get_num_threads()) == (environment, threads)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("settings", [{"method": Method.FC, "average_decay": 0.5}, RESIDUAL], ids=["fc", "residual"])
def test_methods_on_features_translate_alike_from_one_process_and_from_two(
    pairs: PairedFeatures, tmp_path: Path, settings: dict[str, object]
) -> None:
    alone, together = (fit(pairs, tmp_path / str(h.devices), h, settings) for h in (PLAIN, TWO))
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("settings", [{"method": Method.FC}, R3AN], ids=["fc", "r3an"])
def test_bfloat16_learns_nearly_the_same(pairs: PairedFeatures, tmp_path: Path, settings: dict[str, object]) -> None:
    full, half = (fit(pairs, tmp_path / h.precision, h, settings) for h in (PLAIN, BFLOAT16))
    assert not np.array_equal(half, full)
    assert (half * full).sum(axis=1).mean() > 0.9


def test_a_closed_form_needs_no_devices(pairs: PairedFeatures, tmp_path: Path) -> None:
    settings: dict[str, object] = {"method": Method.AFFINE}
    alone, together = (fit(pairs, tmp_path / str(h.devices), h, settings) for h in (PLAIN, Hardware(devices=64)))
    np.testing.assert_array_equal(together, alone)


def test_a_companion_that_is_killed_ends_the_training_with_a_word(pairs: PairedFeatures, tmp_path: Path) -> None:
    def kill(done: int, *_: object) -> None:
        for process in multiprocessing.active_children() if done == 3 else []:
            process.kill()

    with pytest.raises(ProcessError, match="process 1 of 2 ended with code -9"):
        fit(pairs, tmp_path / "out", TWO, {"method": Method.FC, "iterations": 1000}, kill)
    assert (tmp_path / "out" / CHECKPOINT_FILE).exists()


@pytest.mark.parametrize(
    ("hardware", "reason"),
    [
        (Hardware(devices=3), "--devices 3: batches of 8 rows cannot be shared equally"),
        (Hardware(precision=Precision.FLOAT16), "--precision 16-mixed: needs a GPU; bf16-mixed does not"),
    ],
)
def test_hardware_that_does_not_fit_is_refused_by_option(hardware: Hardware, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        check_hardware(hardware, 8)
