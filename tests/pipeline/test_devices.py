"""`r3an fit --devices 2`: the same command, two processes, one stop, no process left."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from tests.pipeline.conftest import SOURCE, TARGET, assert_refused, r3an, write_pairs

END_WAIT_S = 30


def command(tmp_path: Path, *options: str) -> list[str]:
    pairs = write_pairs(tmp_path / "pairs.parquet")
    (tmp_path / "fc.toml").write_text('method = "fc"\niterations = 150\nbatch_rows = 16\ncheckpoint_interval_s = 0.1\n')
    sides = ["--pairs", str(pairs), "--source", SOURCE, "--target", TARGET, "--method", "fc"]
    return ["fit", *sides, "--config", str(tmp_path / "fc.toml"), "--out", str(tmp_path / "out"), "--json", *options]


def test_a_stop_ends_both_processes_and_one_of_them_alone_goes_on(tmp_path: Path) -> None:
    arguments = command(tmp_path, "--devices", "2")
    running = subprocess.Popen([sys.executable, "-m", "training.cli", *arguments], stderr=subprocess.PIPE, text=True)
    checkpoint = tmp_path / "out" / "checkpoint.pt"
    while not checkpoint.exists():
        assert running.poll() is None, "it ended before its first checkpoint"
    family = psutil.Process(running.pid).children(recursive=True)
    assert any("spawn_main" in " ".join(process.cmdline()) for process in family)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=END_WAIT_S)
    assert running.returncode == 130, said
    assert said == "r3an: interrupted; run the same command again to go on\n"
    assert psutil.wait_procs(family, timeout=END_WAIT_S)[1] == []
    stopped_at = torch.load(checkpoint, weights_only=True)["iterations"]
    assert 0 < stopped_at < 150
    done = r3an(*arguments[:-2])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["training"]["rows"] > 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--devices", "3"), "--devices 3: batches of 16 rows cannot be shared equally"),
        (("--devices", "0"), "'--devices'"),
        (("--precision", "16-mixed"), "needs a GPU"),
    ],
)
def test_hardware_that_does_not_fit_ends_with_one_line(tmp_path: Path, options: tuple[str, ...], reason: str) -> None:
    assert_refused(r3an(*command(tmp_path, *options)), reason)
    assert not (tmp_path / "out" / "translator.pt").exists()
