"""API keys over real HTTP: each route asks for its scope, quotas hold, changes count without a restart."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from deploy.process import wait_until
from service.access import KeysFile, Scope, create_key, read_keys, write_keys
from service.routes.table import ROUTERS
from service.settings import EngineKind
from tests.gateway import development_settings, running_gateway
from tests.repository import SOURCE, write_translator

DEADLINE_S = 60
OPEN = {"/health/live", "/health/ready", "/metrics"}
SCOPES = {
    ("POST", "/translate"): Scope.TRANSLATE,
    ("POST", "/search"): Scope.SEARCH,
    ("GET", "/galleries"): Scope.SEARCH,
    ("GET", "/galleries/{gallery}"): Scope.SEARCH,
    ("PUT", "/galleries/{gallery}"): Scope.ADMIN,
    ("DELETE", "/galleries/{gallery}"): Scope.ADMIN,
    ("PUT", "/galleries/{gallery}/approximation"): Scope.ADMIN,
    ("DELETE", "/galleries/{gallery}/approximation"): Scope.ADMIN,
    ("POST", "/galleries/{gallery}/faces"): Scope.ENROL,
    ("GET", "/galleries/{gallery}/faces/{face_id}"): Scope.SEARCH,
    ("DELETE", "/galleries/{gallery}/faces/{face_id}"): Scope.ENROL,
    ("GET", "/galleries/{gallery}/subjects/{subject}"): Scope.SEARCH,
    ("PUT", "/galleries/{gallery}/subjects/{subject}"): Scope.ENROL,
    ("DELETE", "/galleries/{gallery}/subjects/{subject}"): Scope.ENROL,
    ("GET", "/galleries/{gallery}/originals"): Scope.ADMIN,
    ("POST", "/galleries/{gallery}/migrations"): Scope.ADMIN,
    ("GET", "/migrations"): Scope.ADMIN,
    ("GET", "/migrations/{migration}"): Scope.ADMIN,
    ("POST", "/migrations/{migration}/cutover"): Scope.ADMIN,
    ("POST", "/migrations/{migration}/rollback"): Scope.ADMIN,
    ("POST", "/migrations/{migration}/complete"): Scope.ADMIN,
    ("POST", "/migrations/{migration}/cancel"): Scope.ADMIN,
    ("POST", "/migrations/{migration}/resume"): Scope.ADMIN,
    ("GET", "/models"): None,
    ("GET", "/translators"): None,
    ("GET", "/info"): None,
}
ROUTES = [
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods
]


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def keys(keys_file: Path) -> dict[Scope, str]:
    """A key for each scope alone."""
    created = {scope: create_key(scope.value, [scope]) for scope in Scope}
    write_keys(KeysFile(keys=tuple(record for _, record in created.values())), keys_file)
    return {scope: key for scope, (key, _) in created.items()}


@pytest.fixture(scope="module")
def client(keys: dict[Scope, str], keys_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    assert keys
    directory = tmp_path_factory.mktemp("gateway")
    write_translator(directory / "model_repository")
    with running_gateway(development_settings(directory, api_keys_file=keys_file)) as client:
        yield client


def test_every_route_is_open_or_asks_for_a_scope() -> None:
    assert {(method, path) for method, path in ROUTES if path not in OPEN} == set(SCOPES)


def test_no_body_is_read_before_its_sender_is_known_and_its_bound_checked() -> None:
    # FastAPI reads a body that a route declares whole, ahead of every dependency; ours go through `read_body`.
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    assert [route.path for route in routes if route.body_field is not None] == []


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[1] not in OPEN])
def test_a_route_passes_keys_of_its_scope_and_no_other(
    client: httpx.Client, keys: dict[Scope, str], method: str, path: str
) -> None:
    concrete = path.format(gallery="nobody", face_id="nobody", subject="nobody", migration="nobody")
    assert client.request(method, concrete).status_code == 401
    for scope, key in keys.items():
        status = client.request(method, concrete, headers={"X-API-Key": key}).status_code
        passes = SCOPES[method, path] in {scope, None}
        assert (status == 403) != passes, (scope, status)
        assert status != 401


@pytest.mark.parametrize("path", sorted(OPEN))
def test_probes_and_prometheus_need_no_key(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": "{key}"}, {"Authorization": "Bearer {key}"}, {"Authorization": "bearer {key}"}]
)
def test_a_key_travels_in_either_header(client: httpx.Client, keys: dict[Scope, str], headers: dict[str, str]) -> None:
    sent = {name: value.format(key=keys[Scope.ADMIN]) for name, value in headers.items()}
    assert client.get("/info", headers=sent).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eDp5"}, {"X-API-Key": "r3an_translate_0"}])
def test_without_a_valid_key_the_answer_says_how_to_send_one(client: httpx.Client, headers: dict[str, str]) -> None:
    answer = client.get("/info", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_an_unauthenticated_body_is_not_read(client: httpx.Client) -> None:
    answer = client.post("/translate", content=b"not json at all")
    assert answer.status_code == 401


def test_a_quota_is_answered_with_429_and_when_to_come_back(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key, record = create_key("slow", [Scope.TRANSLATE], 0.01)
    write_keys(KeysFile(keys=(record,)), file)
    with running_gateway(development_settings(tmp_path, api_keys_file=file, model_repository=tmp_path)) as client:
        headers = {"X-API-Key": key}
        assert client.get("/info", headers=headers).status_code == 200
        answer = client.get("/info", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (429, "quota-exceeded")
    assert 90 <= int(answer.headers["retry-after"]) <= 100


def test_a_key_is_revoked_although_the_engine_hangs(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key, record = create_key("late", [Scope.ADMIN])
    _, other = create_key("other", [Scope.ADMIN])
    write_keys(KeysFile(keys=(record, other)), file)
    repository = tmp_path / "model_repository"
    repository.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        engine = {"engine": EngineKind.TRITON, "triton_url": f"127.0.0.1:{silent.getsockname()[1]}"}
        with running_gateway(development_settings(tmp_path, api_keys_file=file, **engine)) as client:
            write_translator(repository)
            silent.settimeout(DEADLINE_S)
            with silent.accept()[0]:  # the gateway is asking the engine to take the translator
                assert client.get("/models", headers={"X-API-Key": key}).status_code == 200
                write_keys(KeysFile(keys=(other,)), file)
                wait_until(
                    lambda: client.get("/models", headers={"X-API-Key": key}).status_code == 401,
                    DEADLINE_S,
                    "the key to be revoked",
                )


def test_new_and_revoked_keys_count_without_a_restart_and_a_broken_file_changes_nothing(
    client: httpx.Client, keys: dict[Scope, str], keys_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def status(key: str) -> int:
        return client.get("/models", headers={"X-API-Key": key}).status_code

    before = read_keys(keys_file)
    late, record = create_key("late", [Scope.ADMIN])
    write_keys(KeysFile(keys=(*before.keys, record)), keys_file)
    wait_until(lambda: status(late) == 200, DEADLINE_S, "the new key")
    write_keys(before, keys_file)
    wait_until(lambda: status(late) == 401, DEADLINE_S, "the key to be revoked")
    staged = keys_file.with_name("staged")
    staged.write_text("{")
    staged.replace(keys_file)
    wait_until(lambda: "API keys refused: keys.json" in caplog.text, DEADLINE_S, "the broken file to be refused")
    assert status(keys[Scope.ADMIN]) == 200
    write_keys(before, keys_file)
    body = {"source_model": SOURCE.id, "features": [[1.0] * SOURCE.dim]}
    assert client.post("/translate", json=body, headers={"X-API-Key": keys[Scope.TRANSLATE]}).status_code == 200


def test_a_key_that_takes_all_places_it_may_leaves_one_for_another(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    created = {id: create_key(id, [Scope.TRANSLATE]) for id in ("greedy", "modest")}
    write_keys(KeysFile(keys=tuple(record for _, record in created.values())), file)
    write_translator(tmp_path / "model_repository")
    settings = development_settings(tmp_path, api_keys_file=file, requests_in_flight_max=9)
    body = {"source_model": SOURCE.id, "features": [[1.0] * SOURCE.dim]}

    def status(client: httpx.Client, id: str) -> int:
        return client.post("/translate", json=body, headers={"X-API-Key": created[id][0]}).status_code

    with running_gateway(settings) as client, ExitStack() as held:
        assert status(client, "modest") == 200
        for _ in range(8):
            held.enter_context(unfinished_request(client, created["greedy"][0]))
        wait_until(lambda: in_flight(client) == 8, DEADLINE_S, "the requests to arrive")
        assert status(client, "greedy") == 503
        assert status(client, "modest") == 200


@contextmanager
def unfinished_request(client: httpx.Client, key: str) -> Iterator[None]:
    """A request whose body does not arrive in full."""
    head = f"POST /translate HTTP/1.1\r\nHost: gateway\r\nX-API-Key: {key}\r\nContent-Length: 1000\r\n\r\n{{"
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=DEADLINE_S) as connection:
        connection.sendall(head.encode())
        yield


def in_flight(client: httpx.Client) -> float:
    line = next(line for line in client.get("/metrics").text.splitlines() if line.startswith("r3an_http_requests_in_f"))
    return float(line.rsplit(" ", 1)[1])
