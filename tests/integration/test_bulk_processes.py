"""Bulk commands as processes of their own: killed at any moment, held up by a quota, without a key; migrations."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from deploy.gateway import GatewayServer
from deploy.process import wait_until
from service.access import KeysFile, Scope, create_key, write_keys
from tests.integration.bulk import faces_of, refusal, run
from tests.integration.galleries import created_gallery
from tests.integration.stack import gateway_settings
from tests.parquet import face_table, write
from tests.repository import SOURCE, TARGET

ROWS = 400
ALL_SCOPES = (Scope.SEARCH, Scope.ENROL, Scope.ADMIN)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A keys file, and its keys by id."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    wanted = {"operator": (ALL_SCOPES, None), "slow": (ALL_SCOPES, 8.0), "searcher": ((Scope.SEARCH,), None)}
    made = {name: create_key(name, scopes, quota) for name, (scopes, quota) in wanted.items()}
    write_keys(KeysFile(keys=tuple(record for _, record in made.values())), file)
    return file, {name: key for name, (key, _) in made.items()}


@pytest.fixture(scope="module")
def server(
    keys: tuple[Path, dict[str, str]], translators: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayServer]:
    """A gateway that asks for keys."""
    settings = gateway_settings(translators, tmp_path_factory.mktemp("galleries"))
    with GatewayServer(settings | {"R3AN_API_KEYS_FILE": str(keys[0])}) as server:
        yield server


@pytest.fixture
def operator(server: GatewayServer, keys: tuple[Path, dict[str, str]]) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {keys[1]['operator']}"}
    with httpx.Client(base_url=server.url, timeout=60, headers=headers) as client:
        yield client


def key_file(tmp_path: Path, key: str) -> Path:
    (tmp_path / "key").write_text(key)
    return tmp_path / "key"


def test_a_killed_import_goes_on_through_a_quota_and_loses_and_doubles_nothing(
    operator: httpx.Client, server: GatewayServer, keys: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    file, report = write(tmp_path / "a.parquet", face_table(ROWS)), tmp_path / "fates.parquet"
    with created_gallery(operator, SOURCE) as gallery:
        arguments = ["gallery", "import", gallery, str(file), "--source-model", SOURCE.id, "--report", str(report)]
        arguments += ["--url", server.url, "--batch-rows", "20", "--in-flight", "2"]
        environment = {**os.environ, "R3AN_API_KEY": keys[1]["slow"]}
        program = [sys.executable, "-m", "service.cli", *arguments]
        with subprocess.Popen(program, env=environment, stderr=subprocess.DEVNULL) as process:
            wait_until(lambda: faces_of(operator, gallery) >= 60, 60, "the first faces")
            os.kill(process.pid, signal.SIGKILL)
        assert 60 <= faces_of(operator, gallery) < ROWS
        again = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert again.returncode == 0, again.stderr
        assert faces_of(operator, gallery) == ROWS
    rows = pq.read_table(report)
    assert rows.column("face_id").to_pylist() == face_table(ROWS).column("face_id").to_pylist()
    assert rows.column("row").to_pylist() == list(range(ROWS))


def test_without_the_key_or_its_scope_nothing_is_done(
    operator: httpx.Client, server: GatewayServer, keys: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    file = write(tmp_path / "a.parquet", face_table(30))
    with created_gallery(operator, SOURCE) as gallery:
        command = ("gallery", "import", gallery, file, "--source-model", SOURCE.id, "--state", tmp_path / "s")
        assert "401 unauthenticated" in refusal(run(server.url, *command))
        searcher = ("--key-file", key_file(tmp_path, keys[1]["searcher"]))
        assert "403 forbidden" in refusal(run(server.url, *command, *searcher))
        assert "403 forbidden" in refusal(run(server.url, "gallery", "export", gallery, tmp_path / "out", *searcher))
        assert "403 forbidden" in refusal(run(server.url, "migration", "list", *searcher))
        assert faces_of(operator, gallery) == 0


def test_a_gallery_migrates_from_the_command_line(
    operator: httpx.Client, server: GatewayServer, keys: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    key = ("--key-file", key_file(tmp_path, keys[1]["operator"]))
    file = write(tmp_path / "a.parquet", face_table(ROWS))

    def ask(*arguments: object) -> str:
        result = run(server.url, *arguments, *key)
        assert result.exit_code == 0, result.output
        return result.stdout

    with created_gallery(operator, SOURCE) as gallery:
        ask("gallery", "import", gallery, file, "--source-model", SOURCE.id, "--state", tmp_path / "s")
        plan = ask("migration", "plan", gallery, TARGET.id)
        assert f"{SOURCE.id}--{TARGET.id}@1" in plan
        assert f"{ROWS} faces to translate" in plan
        assert gallery not in ask("migration", "list")
        found = re.search(r"│ id +│ (\S+)", ask("migration", "start", gallery, TARGET.id))
        assert found is not None
        migration = found[1]
        assert migration in ask("migration", "list")
        assert "ready" in ask("migration", "watch", migration, "--interval-s", 0.05)
        refused = refusal(run(server.url, "migration", "start", gallery, TARGET.id, *key))
        assert "409" in refused
        for action, state in (("cutover", "serving"), ("rollback", "ready"), ("cutover", "serving")):
            assert state in ask("migration", action, migration)
        named = [{"face_id": "newcomer", "subject": "somebody"}]
        newcomer = {"source_model": TARGET.id, "features": [[1.0] * TARGET.dim], "faces": named}
        assert operator.post(f"/galleries/{gallery}/faces", json=newcomer).status_code == 200
        assert "copy-incomplete" in refusal(run(server.url, "migration", "rollback", migration, *key))
        rolled_back = ask("migration", "rollback", migration, "--allow-missing")
        assert re.search(r"│ faces that searches miss +│ 1 ", rolled_back)
        assert "searches miss" not in ask("migration", "cutover", migration)
        assert f"{ROWS} of {ROWS + 1}" in ask("migration", "show", migration)
        assert "completed" in ask("migration", "complete", migration)
        assert operator.get(f"/galleries/{gallery}").json()["model"] == TARGET.id
        assert "migration-state" in refusal(run(server.url, "migration", "rollback", migration, *key))


def test_a_cancelled_migration_ends_its_watch_with_code_1(
    operator: httpx.Client, server: GatewayServer, keys: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    key = ("--key-file", key_file(tmp_path, keys[1]["operator"]))
    with created_gallery(operator, SOURCE) as gallery:
        body = {"target_model": TARGET.id}
        migration = operator.post(f"/galleries/{gallery}/migrations", json=body).json()["id"]
        assert "cancelled" in run(server.url, "migration", "cancel", migration, *key).stdout
        watched = run(server.url, "migration", "watch", migration, *key)
        assert (watched.exit_code, "cancelled" in watched.stderr) == (1, True)
    assert "404 unknown-migration" in refusal(run(server.url, "migration", "show", "nothing", *key))


def test_a_gateway_that_is_not_there_is_said_so_at_once() -> None:
    assert "no answer from http://127.0.0.1:1" in refusal(run("http://127.0.0.1:1", "migration", "list"))
