"""Who may do what to galleries, how much one answer may hold, and what is logged, over real HTTP."""

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from contract.vectors import pack_float32
from service.access import KeysFile, Scope, create_key, write_keys
from service.routes import originals
from service.routes.search import MATCHES_MAX
from tests.gateway import development_settings, running_gateway
from tests.repository import SOURCE, TARGET, write_translator

OCTET_STREAM = {"content-type": "application/octet-stream"}
FEATURE = [1.0] * TARGET.dim
ENROLMENT = {
    "source_model": TARGET.id,
    "features": [FEATURE],
    "faces": [{"face_id": "private-face", "subject": "private-person"}],
}
SEARCH = {"source_model": TARGET.id, "gallery": "staff", "features": [FEATURE]}
OPERATIONS = [
    (Scope.ADMIN, "PUT", "/galleries/staff", {"model": TARGET.id}, 200),
    (Scope.ENROL, "POST", "/galleries/staff/faces", ENROLMENT, 200),
    (Scope.SEARCH, "GET", "/galleries", None, 200),
    (Scope.SEARCH, "GET", "/galleries/staff", None, 200),
    (Scope.SEARCH, "GET", "/galleries/staff/faces/private-face", None, 200),
    (Scope.SEARCH, "GET", "/galleries/staff/subjects/private-person", None, 200),
    (Scope.ENROL, "PUT", "/galleries/staff/subjects/private-person", {"metadata": {}}, 204),
    (Scope.ADMIN, "GET", "/galleries/staff/originals", None, 200),
    (Scope.SEARCH, "POST", "/search", SEARCH, 200),
    (Scope.ENROL, "DELETE", "/galleries/staff/faces/private-face", None, 204),
    (Scope.ENROL, "DELETE", "/galleries/staff/subjects/private-person", None, 404),
    (Scope.ADMIN, "DELETE", "/galleries/staff", None, 204),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one translator."""
    directory = tmp_path_factory.mktemp("gateway")
    write_translator(directory / "model_repository")
    return directory


@pytest.fixture
def client(directory: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of an open gateway."""
    with running_gateway(development_settings(directory, gallery_dir=tmp_path)) as client:
        yield client


def test_each_operation_needs_its_own_scope_and_no_other(directory: Path, tmp_path: Path) -> None:
    issued = {scope: create_key(scope.value, [scope]) for scope in Scope}
    file = tmp_path / "keys.json"
    write_keys(KeysFile(keys=tuple(record for _, record in issued.values())), file)
    headers = {scope: {"authorization": f"Bearer {key}"} for scope, (key, _) in issued.items()}
    with running_gateway(development_settings(directory, gallery_dir=tmp_path, api_keys_file=file)) as client:
        assert (
            client.put("/galleries/staff", json={"model": TARGET.id}, headers=headers[Scope.ADMIN]).status_code == 201
        )
        for needed, method, path, body, status in OPERATIONS:
            assert client.request(method, path, json=body).status_code == 401
            for scope in set(Scope) - {needed}:
                refused = client.request(method, path, json=body, headers=headers[scope])
                assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), (method, path, scope)
            allowed = client.request(method, path, json=body, headers=headers[needed])
            assert allowed.status_code == status, (method, path, allowed.text)


def test_an_answer_holds_a_bounded_number_of_matches(client: httpx.Client) -> None:
    client.put("/galleries/staff", json={"model": TARGET.id}).raise_for_status()
    client.post("/galleries/staff/faces", json=ENROLMENT).raise_for_status()
    rows = MATCHES_MAX // 100
    names = {"source_model": SOURCE.id, "gallery": "staff", "top_k": "100"}

    def search(features: int) -> httpx.Response:
        content = pack_float32(np.ones((features, SOURCE.dim), np.float32))
        return client.post("/search", params=names, content=content, headers=OCTET_STREAM)

    assert len(search(rows).json()["results"]) == rows
    refused = search(rows + 1)
    assert (refused.status_code, refused.json()["code"]) == (413, "too-large")


def test_a_page_of_originals_holds_a_bounded_number_of_bytes(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put("/galleries/staff", json={"model": TARGET.id}).raise_for_status()
    faces = [{"face_id": f"f{row}", "subject": "s"} for row in range(5)]
    enrolment = {"source_model": TARGET.id, "features": [FEATURE] * 5, "faces": faces}
    client.post("/galleries/staff/faces", json=enrolment).raise_for_status()

    def pages() -> list[list[str]]:
        found, after = [], None
        while not found or after is not None:
            page = client.get("/galleries/staff/originals", params={} if after is None else {"after": after}).json()
            found.append([face["face_id"] for face in page["faces"]])
            after = page["next"]
        return found

    assert pages() == [["f0", "f1", "f2", "f3", "f4"]]
    for faces_of_a_page in (2, 0):  # one face there is always
        monkeypatch.setattr(originals, "PAGE_BYTES_MAX", faces_of_a_page * (TARGET.dim * 4 + len("{}")))
        expected = [["f0", "f1"], ["f2", "f3"], ["f4"]] if faces_of_a_page else [[f"f{row}"] for row in range(5)]
        assert pages() == expected
    client.put("/galleries/staff/subjects/s", json={"metadata": {"long": "x" * 1000}}).raise_for_status()
    monkeypatch.setattr(originals, "PAGE_BYTES_MAX", 3000)
    assert pages() == [["f0", "f1"], ["f2", "f3"], ["f4"]]


def test_no_face_subject_or_bad_name_is_logged(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        client.put("/galleries/staff", json={"model": TARGET.id}).raise_for_status()
        client.post("/galleries/staff/faces", json=ENROLMENT).raise_for_status()
        client.post("/search", json=SEARCH).raise_for_status()
        client.get("/galleries/staff/faces/private-face").raise_for_status()
        metadata = {"metadata": {"private": "private"}}
        client.put("/galleries/staff/subjects/private-person", json=metadata).raise_for_status()
        client.get("/galleries/staff/originals?after=private").raise_for_status()
        assert client.get("/galleries/staff/faces/private%20face").status_code == 400
        assert client.get("/galleries/private.nowhere").status_code == 404
        client.delete("/galleries/staff/subjects/private-person").raise_for_status()
    own = [record for record in caplog.records if record.name.startswith("service")]
    assert len(own) >= 9
    assert not any("private" in str(vars(record)) for record in own)


def test_a_gallery_stays_when_the_gateway_is_started_again(directory: Path, tmp_path: Path) -> None:
    settings = development_settings(directory, gallery_dir=tmp_path)
    with running_gateway(settings) as client:
        client.put("/galleries/staff", json={"model": TARGET.id}).raise_for_status()
        client.post("/galleries/staff/faces", json=ENROLMENT).raise_for_status()
    with running_gateway(settings) as client:
        [[match]] = [result["matches"] for result in client.post("/search", json=SEARCH).json()["results"]]
    assert (match["face_id"], match["subject"]) == ("private-face", "private-person")
