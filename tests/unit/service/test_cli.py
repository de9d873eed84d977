"""The command line: keys, refusals, the OpenAPI document."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.access import Access, Scope, read_keys
from service.cli import cli
from service.settings import Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"R3AN_{name.upper()}", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def run(*arguments: object, variables: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], env=variables)


def create(file: Path, id: str, *more: object) -> Result:
    return run("keys", "create", "--id", id, "--scope", "translate", "--scope", "search", "--file", file, *more)


def test_commands_load_the_parts_of_a_gateway_only_to_serve() -> None:
    program = "import sys, service.cli; print(*{'fastapi', 'uvicorn', 'redis', 'pyarrow', 'torch'} & {*sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


def test_a_created_key_is_printed_once_and_opens_the_gateway(file: Path) -> None:
    key = create(file, "phone-app", "--requests-per-second", 2.5).stdout.strip()
    Access(file).authorize(key, Scope.SEARCH)
    (record,) = read_keys(file).keys
    assert (record.id, record.scopes, record.requests_per_second) == ("phone-app", ("translate", "search"), 2.5)


def test_keys_are_listed_without_anything_secret(file: Path) -> None:
    keys = [create(file, "one").stdout.strip(), create(file, "two", "--requests-per-second", 2).stdout.strip()]
    listed = run("keys", "list", "--file", file).stdout
    assert listed.splitlines() == ["one\ttranslate,search\t-", "two\ttranslate,search\t2/s"]
    assert not any(key.rpartition("_")[2] in listed for key in keys)


def test_a_revoked_key_is_gone(file: Path) -> None:
    create(file, "one")
    create(file, "two")
    assert run("keys", "revoke", "--id", "one", "--file", file).exit_code == 0
    assert [record.id for record in read_keys(file).keys] == ["two"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("keys", "create", "--id", "one", "--scope", "search", "--file", "{file}"), "one exists"),
        (("keys", "create", "--id", "Not A Name", "--scope", "search", "--file", "{file}"), "--id must match"),
        (("keys", "create", "--id", "x", "--scope", "search", "--file", "/missing/keys.json"), "No such file"),
        (("keys", "revoke", "--id", "nobody", "--file", "{file}"), "no key nobody"),
        (("keys", "list", "--file", "/missing/keys.json"), "No such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(file: Path, arguments: tuple[str, ...], reason: str) -> None:
    create(file, "one")
    result = run(*(argument.format(file=file) for argument in arguments))
    assert result.exit_code == 2
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_unknown_scope_is_refused(file: Path) -> None:
    assert run("keys", "create", "--id", "x", "--scope", "everything", "--file", file).exit_code == 2


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "outside development R3AN_API_KEYS_FILE must name a file"),
        ({"R3AN_API_KEYS_FILE": "/missing/keys.json"}, "keys.json: No such file"),
        ({"R3AN_ENVIRONMENT": "development", "R3AN_ROWS_MAX": "0"}, "R3AN_ROWS_MAX: Input should be greater"),
        (
            {"R3AN_ENVIRONMENT": "development", "R3AN_REDIS_URL": "redis://:marked/x@h"},
            "R3AN_REDIS_URL: is no redis://",
        ),
        ({"R3AN_ENVIRONMENT": "staging"}, "R3AN_ENVIRONMENT: Input should be 'production' or 'development'"),
    ],
)
def test_settings_that_cannot_be_used_stop_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], reason: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = run("serve")
    assert result.exit_code == 2
    assert reason in result.stderr
    assert "marked" not in result.output
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://user:marked-password@127.0.0.1:1",
        "http://user:80/marked-password@127.0.0.1",
        "user:marked-password@127.0.0.1:1",
        "http://marked-password@127.0.0.1:1",
    ],
)
def test_a_password_in_the_url_of_a_gateway_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    for arguments in (("gallery", "export", "staff", tmp_path / "out"), ("migration", "list")):
        for result in (run(*arguments, "--url", url), run(*arguments, variables={"R3AN_URL": url})):
            assert result.exit_code == 2
            assert result.stderr.startswith("r3an-gateway: the URL holds a user or a password")
            assert "marked" not in result.output
            assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_openapi_document_is_printed() -> None:
    assert "/translate" in json.loads(run("openapi").stdout)["paths"]
