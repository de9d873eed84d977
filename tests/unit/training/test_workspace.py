"""A run's folder: held by one run at a time, and free of the features of runs that were killed."""

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.training.disk import full_after
from training.errors import ConfigError, DataError
from training.workspace import LOCK_FILE, hold, workspace, write_atomically


def test_the_copy_of_the_data_is_gone_after_the_run_however_it_ends(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with workspace(out) as copy:
        (copy / "0.npy").write_bytes(b"features")
        assert copy.parent == out
    assert not copy.exists()
    with pytest.raises(KeyboardInterrupt), workspace(out) as copy:
        raise KeyboardInterrupt
    assert not copy.exists()


def test_a_copy_that_a_killed_run_left_is_removed_at_the_next_start(tmp_path: Path) -> None:
    left = tmp_path / ".pairs-left"
    left.mkdir()
    (left / "image.npy").write_bytes(b"faces")
    (tmp_path / "checkpoint.pt").write_bytes(b"kept")
    with workspace(tmp_path):
        assert not left.exists()
    assert (tmp_path / "checkpoint.pt").exists()


def test_a_second_run_in_the_folder_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    with workspace(tmp_path) as copy:
        with pytest.raises(ConfigError, match="another run") as refused, workspace(tmp_path):
            pass
        assert str(refused.value).startswith(f"{tmp_path}: ")
        assert copy.exists()
    with workspace(tmp_path):
        pass


def test_who_holds_a_folder_keeps_it_and_nobody_else_gets_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with workspace(out):
        with hold(out):
            assert out.exists()
        with pytest.raises(ConfigError, match="another run"), workspace(out):
            pass
        assert (
            elsewhere(out) == f"{out}: another run is at work in this folder; wait for its end or choose another folder"
        )
    assert elsewhere(out) == ""


def test_a_hold_keeps_a_whole_run_out_and_leaves_nothing_of_its_own_failure(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with pytest.raises(ConfigError, match="another run"), hold(out), workspace(out):
        pass
    assert list(tmp_path.iterdir()) == []


def elsewhere(out: Path) -> str:
    """Hold it in another thread, as another run; returns why it is refused."""

    def attempt() -> str:
        try:
            with hold(out):
                return ""
        except ConfigError as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        return pool.submit(attempt).result()


def refuse(out: Path, leaves: str | None = None) -> None:
    with pytest.raises(KeyboardInterrupt), workspace(out):
        stop(out / leaves if leaves else None)


def stop(leaves: Path | None) -> None:
    if leaves is not None:
        leaves.write_bytes(b"kept")
    raise KeyboardInterrupt


def test_a_refused_run_leaves_nothing_of_what_it_made(tmp_path: Path) -> None:
    refuse(tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty").mkdir()
    refuse(tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_run_that_fails_keeps_what_lies_in_its_folder(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    refuse(out, leaves="checkpoint.pt")
    assert (out / "checkpoint.pt").exists()
    refuse(out)
    assert {path.name for path in out.iterdir()} == {"checkpoint.pt", LOCK_FILE}


def test_a_lock_that_a_refused_run_took_away_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening the file and locking it, as another run's refusal would."""
    removed: list[Path] = []

    def lock(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append(tmp_path / LOCK_FILE)
            removed[0].unlink()
        flock(descriptor, operation)

    flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", lock)
    with workspace(tmp_path), pytest.raises(ConfigError, match="another run"), workspace(tmp_path):
        pass
    assert removed


@pytest.mark.parametrize("content", ["ä\n", b"\x89PNG\r\n"])
def test_a_file_appears_whole_byte_for_byte_and_nothing_beside_it(tmp_path: Path, content: str | bytes) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    write_atomically(file, content)
    assert file.read_bytes() == (content if isinstance(content, bytes) else content.encode("utf-8"))
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    (tmp_path / ".file").mkdir()  # in the way of what is staged
    with pytest.raises(DataError, match="cannot be written: Is a directory"):
        write_atomically(file, "after")
    assert file.read_text() == "before"


def test_a_full_disk_is_told_by_the_files_name_and_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    with full_after(1000), pytest.raises(DataError, match="cannot be written") as refused:
        write_atomically(file, b"." * 100_000)
    assert str(refused.value).startswith(f"{file}: ")
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, synced = tmp_path / "file", []

    def fsync(descriptor: int) -> None:
        assert not file.exists()
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(file, "content")
    assert synced == [file.stat().st_ino]
