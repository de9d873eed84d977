"""What every bulk command does at the terminal: one line, an exit code, and a way to stop."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import typer

from service.bulk.errors import DataError, StoppedError
from service.commands.terminal import EXIT_STOPPED, command, connect


def ended(capsys: pytest.CaptureFixture[str], error: BaseException) -> tuple[int, str]:
    """The exit code and the line of a command whose work ends with an error."""
    with pytest.raises(typer.Exit) as exited, command():
        raise error
    (line,) = capsys.readouterr().err.splitlines()
    return exited.value.exit_code, line


def test_what_is_refused_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(capsys, DataError("a.parquet, row 3: no")) == (2, "r3an-gateway: a.parquet, row 3: no")
    assert ended(capsys, FileNotFoundError(2, "No such file", "key"))[1] == "r3an-gateway: key: No such file"


def test_what_is_stopped_has_a_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(capsys, StoppedError()) == (EXIT_STOPPED, "r3an-gateway: stopped; the same command goes on")
    assert ended(capsys, KeyboardInterrupt())[0] == EXIT_STOPPED


@pytest.mark.parametrize(("module", "extra"), [("httpx", "bulk"), ("pyarrow", "bulk")])
def test_a_missing_extra_is_named(capsys: pytest.CaptureFixture[str], module: str, extra: str) -> None:
    line = ended(capsys, ModuleNotFoundError(f"No module named '{module}'", name=module))[1]
    assert line == f"r3an-gateway: {module} is missing: pip install 'r3an[{extra}]'"


def test_another_missing_module_is_a_defect() -> None:
    with pytest.raises(ModuleNotFoundError), command():
        raise ModuleNotFoundError("No module named 'nonsense'", name="nonsense")


def test_a_client_without_its_extra_is_refused_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "service.bulk.client", raising=False)
    with pytest.raises(typer.Exit), command() as stopped:
        connect("http://127.0.0.1:1", None, stopped)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_to_stop_and_the_second_ends_the_work(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def signalled_twice() -> None:
        with command() as stopped:
            assert not stopped.is_set()
            os.kill(os.getpid(), number)
            assert stopped.is_set()
            os.kill(os.getpid(), number)

    with pytest.raises(typer.Exit) as exited:
        signalled_twice()
    assert exited.value.exit_code == EXIT_STOPPED
    assert signal.getsignal(number) is before


def test_a_key_comes_from_a_file_or_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("R3AN_API_KEY", "r3an_variable_1")
    (tmp_path / "key").write_text("r3an_file_2\n")
    for file, key in ((None, "r3an_variable_1"), (tmp_path / "key", "r3an_file_2")):
        with connect("http://127.0.0.1:1", file, threading.Event()) as gateway:
            assert gateway._http.headers["Authorization"] == f"Bearer {key}"
    with pytest.raises(typer.Exit), command() as stopped:
        connect("http://127.0.0.1:1", tmp_path / "missing", stopped)
