"""Supervision of one child process."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.process import Process, ProcessError, free_ports, scratch_folder, wait_until

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STARTER = """
import sys, time
from pathlib import Path
from deploy.process import Process
child = Process("child", [sys.executable, "-c", "import time; time.sleep(600)"], Path(sys.argv[1]))
child.start(lambda: True)
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_program_is_up_when_its_condition_holds_and_gone_after_stop(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = Process("sleeper", SLEEPER, log)
    process.start(lambda: "up" in log.read_text())
    pid = process.pid
    assert process.stop() == -signal.SIGTERM
    assert not psutil.pid_exists(pid)
    assert not process.running


def test_a_program_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    process = Process("broken", [sys.executable, "-c", "import sys; sys.exit('no such model')"], tmp_path / "log")
    with pytest.raises(ProcessError, match=r"broken ended with 1(.|\n)*no such model"):
        process.start(lambda: False)


def test_a_program_that_is_not_ready_in_time_is_killed(tmp_path: Path) -> None:
    process = Process("slow", SLEEPER, tmp_path / "log")
    with pytest.raises(ProcessError, match=r"waited 0\.3 s for slow to be ready"):
        process.start(lambda: False, timeout_s=0.3)
    assert not process.running


def test_a_program_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    process = Process("stubborn", [sys.executable, "-c", stubborn], log)
    process.start(lambda: "up" in log.read_text())
    assert process.stop(timeout_s=0.3) == -signal.SIGKILL


@pytest.mark.parametrize("crash", [False, True])
def test_what_a_program_has_started_does_not_outlive_it(tmp_path: Path, crash: bool) -> None:
    log = tmp_path / "log"
    parent = "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    process = Process("parent", [sys.executable, "-c", parent], log)
    process.start(lambda: log.read_text().endswith("\n"))
    grandchild = psutil.Process(int(log.read_text()))
    if crash:
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not process.running, 30, "the crash")
    process.stop()
    wait_until(lambda: not grandchild.is_running(), 30, "the grandchild to end")


def test_a_program_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as starter:
        assert starter.stdout is not None
        child = psutil.Process(int(starter.stdout.readline()))
        starter.kill()
        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 30, "the child to end")


def test_starting_twice_is_refused(tmp_path: Path) -> None:
    process = Process("sleeper", SLEEPER, tmp_path / "log")
    process.start(lambda: True)
    with pytest.raises(ProcessError, match="sleeper is running already"):
        process.start(lambda: True)
    process.kill()


def test_stopping_what_was_never_started_does_nothing(tmp_path: Path) -> None:
    process = Process("idle", SLEEPER, tmp_path / "log")
    assert process.stop() is None
    assert process.kill() is None
    with pytest.raises(ProcessError, match="idle is not running"):
        _ = process.pid


def test_a_scratch_folder_goes_with_its_owner() -> None:
    class Owner:
        """Anything that can be forgotten."""

    owner = Owner()
    folder = scratch_folder(owner, "test")
    (folder / "file").touch()
    del owner
    gc.collect()
    assert not folder.exists()


def test_free_ports_are_different() -> None:
    assert len(set(free_ports(5))) == 5
