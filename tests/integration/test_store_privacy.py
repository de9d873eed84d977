"""Over both stores: migrations, a Redis that refuses, and bulk work show no vector, face, subject, tag or password."""

import asyncio
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pyarrow as pa
import pytest
import redis

from deploy.process import wait_until
from deploy.redis.start import RedisServer
from service.app import create_app
from service.bulk.parquet import feature_array
from service.galleries.redis_records import key_of
from service.migration.record_keeping import counts_key
from service.migration.shadow import COUNTS
from service.settings import StoreKind
from tests.gateway import development_settings, running_app, running_gateway
from tests.integration.bulk import run
from tests.integration.gallery_stores import LocalStores, RedisStores, Stores, administer
from tests.integration.migrations import DEADLINE_S, FIRST, SECOND, act, begin, look, migrating_gateway, wait_for
from tests.integration.privacy import assert_nothing_shows, enrolment, marked_features
from tests.parquet import face_table, replaced, write
from tests.repository import SOURCE, TARGET, write_translator

ROWS = 40
UNAVAILABLE = (503, "gallery-unavailable")


class Place(NamedTuple):
    """A store: for a gateway, and for a look at what it keeps."""

    settings: dict[str, object]
    redis_url: str | None
    stores: Stores


@pytest.fixture(params=list(StoreKind))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param is StoreKind.LOCAL:
        return Place({}, None, LocalStores(tmp_path / "galleries"))
    server: RedisServer = request.getfixturevalue("own_redis")
    return Place({"gallery_store": StoreKind.REDIS, "redis_url": server.url}, server.url, RedisStores(server))


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem."""
    return answer.status_code, answer.json()["code"]


def searched(client: httpx.Client, model: str = FIRST.id, **where: object) -> httpx.Response:
    """The answer to planted probes."""
    body = {"source_model": model, "gallery": "staff", "features": marked_features().tolist()}
    return client.post("/search", json=body | where)


def kept(stores: Stores, migration: str) -> tuple[list[str], dict[str, int]]:
    """The store's notes, and the counts of a migration's shadow."""

    async def look_inside() -> tuple[list[str], dict[str, int]]:
        async with stores.open() as store:
            return [*(await store.notes()).values()], dict(await store.tallied(counts_key(migration)))

    return asyncio.run(look_inside())


def test_a_migration_and_its_shadow_show_nothing(
    tmp_path: Path, place: Place, logs: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with migrating_gateway(tmp_path, place.redis_url) as client:
        assert client.put("/galleries/staff", json={"model": FIRST.id}).status_code == 201
        body = enrolment(source_model=FIRST.id)
        assert client.post("/galleries/staff/faces", json=body).status_code == 200
        job = begin(client, "staff", SECOND)
        wait_for(client, job, "ready")
        found = searched(client, tags=["marked-tag"]).json()["results"][0]["matches"]
        assert {match["face_id"] for match in found} == {"marked-face-0", "marked-face-1"}

        def is_compared() -> bool:
            assert searched(client).status_code == 200
            return bool(look(client, job)["shadow"]["compared"])

        wait_until(is_compared, DEADLINE_S, "the shadow to compare")
        answers = [client.post(f"/migrations/{job}/{what}") for what in ("rollback", "complete", "resume")]
        assert [refused(answer) for answer in answers] == [(409, "migration-state")] * 3
        answers.append(client.post("/galleries/staff/migrations", json={"target_model": SECOND.id, "marked": 1}))
        assert refused(answers[-1]) == (400, "malformed")
        for what in ("cutover", "rollback", "cutover"):
            act(client, job, what)
            assert searched(client).status_code == 200
        assert client.post("/galleries/staff/faces", json=body).json()["replaced_rows"] == [0, 1]
        answers += [client.get(path) for path in (f"/migrations/{job}", "/migrations", "/galleries/staff")]
        act(client, job, "complete")
        answers += [client.post(f"/migrations/{job}/rollback"), client.get("/metrics")]
    said = [answer.text for answer in answers]
    notes, counts = kept(place.stores, job)
    assert notes
    assert counts["compared"] > 0
    assert set(counts) <= set(COUNTS)
    assert_nothing_shows([*said, *notes, *logs, *capfd.readouterr()])


def test_a_redis_that_refuses_shows_nothing(
    tmp_path: Path, own_redis: RedisServer, logs: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    write_translator(tmp_path / "model_repository")
    settings = development_settings(tmp_path, gallery_store=StoreKind.REDIS, redis_url=own_redis.url)
    said: list[str] = []
    with running_gateway(settings) as client:
        assert client.put("/galleries/staff", json={"model": TARGET.id}).status_code == 201
        assert client.post("/galleries/staff/faces", json=enrolment()).status_code == 200
        for refuse, forgive in (
            (("CONFIG", "SET", "maxmemory", 1), ("CONFIG", "SET", "maxmemory", 0)),  # OOM
            (("REPLICAOF", "127.0.0.1", 1), ("REPLICAOF", "NO", "ONE")),  # READONLY
            (("ACL", "SETUSER", "default", "-eval"), ("ACL", "SETUSER", "default", "+eval")),  # NOPERM
        ):
            administer(own_redis, *refuse)
            answer = client.post("/galleries/staff/faces", json=enrolment())
            assert refused(answer) == UNAVAILABLE, refuse
            said.append(answer.text)
            administer(own_redis, *forgive)
        administer(own_redis, "SET", key_of("staff"), "marked")  # WRONGTYPE
        answers = [
            client.get("/galleries/staff/faces/marked-face-0"),
            client.delete("/galleries/staff/subjects/marked-subject-0"),
            client.post("/galleries/staff/faces", json=enrolment()),
            searched(client, SOURCE.id),
        ]
        assert [refused(answer) for answer in answers] == [UNAVAILABLE] * 4
        said += [*(answer.text for answer in answers), client.get("/metrics").text]
    assert_nothing_shows([*said, *logs, *capfd.readouterr()])


def test_a_redis_that_repeats_what_it_refuses_shows_nothing(
    tmp_path: Path, logs: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    write_translator(tmp_path / "model_repository")
    with RedisServer(data=tmp_path / "redis", options=("--rename-command", "HMGET", "")) as server:
        with pytest.raises(redis.ResponseError, match="marked"):
            administer(server, "HMGET", "marked", "field")
        settings = development_settings(tmp_path, gallery_store=StoreKind.REDIS, redis_url=server.url)
        with running_gateway(settings) as client:
            assert client.put("/galleries/staff", json={"model": SOURCE.id}).status_code == 201
            answer = client.get("/galleries/staff/faces/marked-face-0")
            assert refused(answer) == UNAVAILABLE
            said = [answer.text, client.get("/metrics").text]
    assert_nothing_shows([*said, *logs, *capfd.readouterr()])


def test_a_password_that_redis_refuses_is_shown_nowhere(
    tmp_path: Path, own_redis: RedisServer, logs: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    write_translator(tmp_path / "model_repository")
    url = own_redis.url.replace("//", "//somebody:marked-password@")
    settings = development_settings(tmp_path, gallery_store=StoreKind.REDIS, redis_url=url)
    with running_gateway(settings) as client:
        answers = [client.get(path) for path in ("/galleries", "/health/ready")]
        assert [answer.status_code for answer in answers] == [503, 503]
        said = [*(answer.text for answer in answers), client.get("/info").text, client.get("/metrics").text]
    assert any("AuthenticationError" in line for line in logs)
    assert_nothing_shows([*said, *logs, *capfd.readouterr()])


def marked_table(**changes: pa.Array) -> pa.Table:
    """Planted faces in the form of an export, some columns changed."""
    table = face_table(ROWS)
    columns = {
        "face_id": pa.array([f"marked-face-{n}" for n in range(ROWS)]),
        "subject": pa.array([f"marked-subject-{n}" for n in range(ROWS)]),
        "tags": pa.array([["marked-tag"]] * ROWS, pa.list_(pa.string())),
        "metadata": pa.array(['{"marked":"marked"}'] * ROWS),
        "feature": feature_array(marked_features(ROWS)),
    }
    for name, values in (columns | changes).items():
        table = replaced(table, name, values)
    return table


def test_bulk_work_shows_nothing(
    tmp_path: Path, place: Place, logs: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    infinite = marked_features(ROWS)
    infinite[7, 3] = np.inf
    bad_ids = pa.array([f"marked face {n}" if n % 2 else f"marked-face-{n}" for n in range(ROWS)])
    bad_metadata = pa.array(['["marked"]' if n % 2 else "marked" for n in range(ROWS)])
    nobody = pa.array([None if n == 7 else "marked" for n in range(ROWS)])
    write(tmp_path / "good.parquet", marked_table())
    for name, column, values in (
        ("ids", "face_id", bad_ids),
        ("metadata", "metadata", bad_metadata),
        ("tags", "tags", pa.array([["Marked Tag"]] * ROWS, pa.list_(pa.string()))),
        ("infinite", "feature", feature_array(infinite)),
        ("nobody", "subject", nobody),
    ):
        write(tmp_path / f"{name}.parquet", marked_table(**{column: values}))
    (tmp_path / "damaged.parquet").write_bytes((tmp_path / "good.parquet").read_bytes()[:-9])
    (tmp_path / "state").write_text('{"gallery": "marked"}')
    write_translator(tmp_path / "model_repository")
    out = tmp_path / "out"
    said: list[str] = []
    with running_app(create_app(development_settings(tmp_path, **place.settings))) as url:
        httpx.put(f"{url}/galleries/staff", json={"model": TARGET.id}).raise_for_status()

        def bulk(expected: int, name: str, *arguments: object) -> None:
            result = run(url, "gallery", name, "staff", *arguments)
            assert result.exit_code == expected, (arguments, result.output)
            said.append(result.output)

        for expected, file in ((0, "good"), (1, "ids"), (1, "metadata"), (1, "tags")):
            report = ("--report", tmp_path / f"{file}.csv")
            bulk(expected, "import", tmp_path / f"{file}.parquet", "--source-model", SOURCE.id, *report)
        for file in ("infinite", "nobody", "damaged"):
            bulk(2, "import", tmp_path / f"{file}.parquet", "--source-model", SOURCE.id)
        bulk(2, "import", tmp_path / "good.parquet", "--source-model", SOURCE.id, "--state", tmp_path / "state")
        state = ("--state", tmp_path / "fresh")
        bulk(2, "import", tmp_path / "ids.parquet", "--source-model", SOURCE.id, "--refused-max", 1, *state)
        bulk(0, "export", out)
        bulk(2, "export", out)
        (out / "export.json").rename(out / "export.state.json")
        bulk(2, "export", out)
        said.append(httpx.get(f"{url}/metrics").text)
    assert_nothing_shows([*said, *logs, *capfd.readouterr()])
