"""What decides the weights beside data and settings is recorded, followed, and named where it differs."""

import json
from pathlib import Path

import pytest
import torch

from training.conditions import (
    THREADS_MAX,
    changed_conditions,
    conditions_now,
    hardware_of,
    keep_conditions,
    merge_conditions,
    threads_of,
)
from training.errors import ConfigError
from training.hardware import PLAIN, Hardware, Precision

TWO = Hardware(devices=2, precision=Precision.BFLOAT16)


def test_threads_instructions_precision_and_devices_are_named_beside_versions() -> None:
    now = conditions_now(TWO)
    assert {"python", "torch", "numpy"} < set(now)
    assert now["threads"] == str(torch.get_num_threads())
    assert now["cpu"] == torch.backends.cpu.get_cpu_capability()
    assert hardware_of(now) == TWO
    assert hardware_of({}) == PLAIN


def test_as_many_threads_as_are_recorded_work_and_then_as_many_as_before() -> None:
    before = torch.get_num_threads()
    with threads_of({"threads": str(before + 1)}):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("threads", ["", "0", "-1", "many", "2, 1", str(THREADS_MAX + 1)])
def test_what_is_no_number_of_threads_changes_nothing(threads: str) -> None:
    before = torch.get_num_threads()
    with threads_of({"threads": threads}):
        assert torch.get_num_threads() == before


@pytest.mark.parametrize("software", [{"precision": "half"}, {"devices": "0"}, {"devices": "two"}, {"devices": "65"}])
def test_hardware_that_does_not_exist_is_refused(software: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        hardware_of(software)


def test_what_differs_is_named_and_older_manifests_were_plain_in_what_they_leave_out() -> None:
    assert changed_conditions({"threads": "2"}, {"threads": "1", "devices": "1", "precision": "32-true"}) == (
        "threads 1 instead of 2"
    )
    assert changed_conditions({"devices": "2"}, {"threads": "1", "devices": "1", "precision": "32-true"}) == (
        "devices 1 instead of 2, threads 1 instead of none"
    )
    assert changed_conditions({}, {"devices": "1", "precision": "32-true"}) == ""


def test_runs_under_other_conditions_are_all_named_the_latest_last(tmp_path: Path) -> None:
    file = tmp_path / "conditions.json"
    assert keep_conditions(file, {"threads": "2", "cpu": "A"}, is_begun=False) == {"threads": "2", "cpu": "A"}
    both = {"threads": "2, 1", "cpu": "A"}
    for _ in range(2):
        assert keep_conditions(file, {"threads": "1", "cpu": "A"}, is_begun=True) == both
    assert json.loads(file.read_text()) == both
    assert keep_conditions(file, {"threads": "2", "cpu": "A"}, is_begun=True) == {"threads": "1, 2", "cpu": "A"}
    assert keep_conditions(file, {"threads": "3"}, is_begun=False) == {"threads": "3"}
    assert merge_conditions({"gpu": "G"}, {"threads": "1"}) == {"gpu": "G, none", "threads": "none, 1"}


def test_a_checkpoint_of_before_conditions_were_kept_has_those_of_now(tmp_path: Path) -> None:
    assert keep_conditions(tmp_path / "conditions.json", {"threads": "2"}, is_begun=True) == {"threads": "2"}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"threads": 2}', b"\xff"])
def test_damaged_conditions_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "conditions.json"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"conditions\.json: ") as refused:
        keep_conditions(file, {"threads": "2"}, is_begun=True)
    assert "\n" not in str(refused.value)
