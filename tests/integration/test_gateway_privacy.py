"""Whatever goes in: no vector, face, subject, key or query shows in logs, metrics, problems or headers."""

import base64
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from contract.vectors import pack_float32
from deploy.redis.start import RedisServer
from service.access import KeysFile, Scope, create_key, write_keys
from service.settings import EngineKind, StoreKind
from tests.gateway import development_settings, running_gateway
from tests.integration.privacy import MARKED_VALUE, assert_nothing_shows, enrolment, marked_features
from tests.repository import SOURCE, TARGET, write_translator


@pytest.fixture
def key() -> tuple[str, KeysFile]:
    key, record = create_key("client", list(Scope))
    return key, KeysFile(keys=(record,))


def good_requests(client: httpx.Client) -> list[httpx.Response]:
    """A whole life of marked features; their answers may say what they were asked for."""
    probes = {"source_model": SOURCE.id, "features": marked_features().tolist()}
    octets = {"content-type": "application/octet-stream"}
    return [
        client.put("/galleries/staff", json={"model": TARGET.id}),
        client.post("/galleries/staff/faces", json=enrolment()),
        client.post("/translate", json=probes),
        client.post(f"/translate?source_model={SOURCE.id}", content=pack_float32(marked_features()), headers=octets),
        client.post("/galleries/staff/faces", json=enrolment(on_duplicate="report", duplicate_min_similarity=0.9)),
        client.post("/search", json=probes | {"gallery": "staff", "tags": ["marked-tag"]}),
        client.get("/galleries/staff/faces/marked-face-0"),
        client.put("/galleries/staff/subjects/marked-subject-0", json={"metadata": {"marked": MARKED_VALUE}}),
        client.get("/galleries/staff/subjects/marked-subject-0"),
        client.get("/galleries/staff/originals?after=marked"),
        client.delete("/galleries/staff/faces/marked-face-0"),
        client.delete("/galleries/staff/subjects/marked-subject-1"),
    ]


def bad_requests(client: httpx.Client) -> list[httpx.Response]:
    """The same, each wrong in another way; their answers must repeat nothing."""
    base = {"source_model": SOURCE.id}
    rows = marked_features().tolist()
    infinite = [[1e39, *rows[0][1:]]]
    packed = base64.b64encode(pack_float32(marked_features(1))).decode()
    octets = {"content-type": "application/octet-stream"}
    return [
        client.post("/translate", json=base | {"features": [rows[0], rows[0][:-1]]}),
        client.post("/translate", json=base | {"features": infinite}),
        client.post("/translate", json=base | {"features": [[*rows[0][1:], "marked"]]}),
        client.post("/translate", json=base | {"features": [f"{packed}!"], "encoding_format": "base64"}),
        client.post("/translate", json=base | {"features": "marked"}),
        client.post("/translate", json=base | {"features": rows, "Marked-Subject": MARKED_VALUE}),
        client.post("/translate", json=base | {"features": rows, "marked-subject": MARKED_VALUE}),
        client.post("/search", json=base | {"features": rows, "gallery": "staff", "marked": 1}),
        client.put("/galleries/staff", json={"model": TARGET.id, "marked": 1}),
        client.post("/translate", content=b'{"marked": 0.73190462, '),
        client.post(f"/translate?source_model={SOURCE.id}&marked=1", content=b"marked!", headers=octets),
        client.post("/translate", json=base | {"features": rows}, headers={"X-API-Key": "r3an_marked_0"}),
        client.post("/search", json=base | {"features": rows, "gallery": "nobody"}),
        client.post(
            "/galleries/staff/faces", json=enrolment(faces=[{"face_id": "marked", "subject": "marked subject"}])
        ),
        client.post("/galleries/staff/faces", json=enrolment(features=rows[:1])),
        client.post(
            "/galleries/staff/faces",
            json=enrolment(features=rows[:1], faces=[{"face_id": "f", "subject": "s", "marked": 1}]),
        ),
        client.post("/galleries/staff/faces", json=enrolment(on_duplicate="reject", duplicate_min_similarity=0.9)),
        client.post("/galleries/staff/faces", json=enrolment(on_duplicate="marked")),
        client.post(
            "/galleries/staff/faces",
            json=enrolment(
                features=rows[:1], faces=[{"face_id": "f", "subject": "s", "metadata": {"marked": "marked" * 200}}]
            ),
        ),
        client.post(
            "/galleries/staff/faces",
            json=enrolment(features=rows[:1], faces=[{"face_id": "f", "subject": "s", "enrolled_at": "marked"}]),
        ),
        client.post("/search", json=base | {"features": rows, "gallery": "staff", "tags": ["Marked"]}),
        client.put("/galleries/staff/subjects/marked-subject-9", json={"metadata": {"marked": 1}}),
        client.put("/galleries/staff/subjects/marked-subject-9", json={"metadata": "marked"}),
        client.get("/galleries/staff/subjects/marked-subject-9"),
        client.get("/galleries/staff/originals?after=marked face"),
        client.get("/galleries/staff/faces/marked-face-9"),
        client.delete("/galleries/staff/subjects/marked-subject-9"),
        client.get("/galleries/staff/faces/marked face"),
        client.get("/marked/path?marked=1"),
    ]


@pytest.mark.parametrize(
    ("engine", "store"),
    [
        (EngineKind.ECHO, StoreKind.LOCAL),
        (EngineKind.ONNXRUNTIME, StoreKind.LOCAL),
        (EngineKind.TORCHSCRIPT, StoreKind.LOCAL),
        (EngineKind.ONNXRUNTIME, StoreKind.REDIS),
    ],
)
def test_nothing_that_identifies_leaves_by_the_side_doors(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    logs: list[str],
    capfd: pytest.CaptureFixture[str],
    key: tuple[str, KeysFile],
    engine: EngineKind,
    store: StoreKind,
) -> None:
    secret, keys = key
    write_keys(keys, tmp_path / "keys.json")
    write_translator(tmp_path / "model_repository")
    chosen: dict[str, object] = {"engine": engine, "api_keys_file": tmp_path / "keys.json"}
    if store is StoreKind.REDIS:
        redis: RedisServer = request.getfixturevalue("own_redis")
        chosen |= {"gallery_store": store, "redis_url": redis.url}
    with running_gateway(development_settings(tmp_path, **chosen)) as client:
        client.headers["X-API-Key"] = secret
        good, bad = good_requests(client), bad_requests(client)
        assert [answer.status_code for answer in good] == [201, 200, 200, 200, 200, 200, 200, 204, 200, 200, 204, 200]
        assert all(400 <= answer.status_code < 500 for answer in bad), [answer.status_code for answer in bad]
        seen = [answer.text + str(answer.headers) for answer in bad]
        seen += [str(answer.headers) for answer in good]
        seen += [client.get("/metrics").text, client.get("/info").text, client.get("/translators").text]
    assert sum('"message":"request"' in line for line in logs) >= len(good) + len(bad)
    seen += [*logs, *capfd.readouterr()]
    assert_nothing_shows(seen)
    assert secret.rpartition("_")[2] not in "".join(seen)


def test_features_leave_a_gallery_by_the_route_for_exports_alone(tmp_path: Path) -> None:
    write_translator(tmp_path / "model_repository")
    with running_gateway(development_settings(tmp_path)) as client:
        answers = {str(answer.request.url.path) + answer.request.method: answer for answer in good_requests(client)}
    exported = answers.pop("/galleries/staff/originalsGET").json()["faces"][0]["feature"]
    assert len(base64.b64decode(exported)) == SOURCE.dim * 4
    answers.pop("/translatePOST")
    assert not any(exported in answer.text or "feature" in answer.text for answer in answers.values())


def test_an_unforeseen_failure_says_nothing_either(
    tmp_path: Path, logs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(f"marked {marked_features(1)}")

    monkeypatch.setattr("service.routes.translate._json_answer", fail)
    write_translator(tmp_path / "model_repository")
    with running_gateway(development_settings(tmp_path)) as client:
        answer = client.post("/translate", json={"source_model": SOURCE.id, "features": marked_features().tolist()})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    failures = [line for line in logs if "unforeseen failure" in line]
    assert len(failures) == 1
    assert "RuntimeError" in failures[0]
    assert_nothing_shows([answer.text, *logs])


# A provider that says what is asked of it. It is the whole process's, so the process is one of its own.
OPENTELEMETRY = """
import sys
from pathlib import Path
from opentelemetry import metrics, trace

class Tracers(trace.TracerProvider):
    def get_tracer(self, *args, **options):
        print("asked for a tracer")
        return trace.NoOpTracer()

trace.set_tracer_provider(Tracers())
from tests.gateway import development_settings, running_gateway
with running_gateway(development_settings(Path(sys.argv[1]), model_repository=Path(sys.argv[1]))) as client:
    print(client.post("/translate", json={}).status_code)
"""


def test_the_framework_tells_opentelemetry_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENTELEMETRY, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert ended.stdout.split() == ["400"]
