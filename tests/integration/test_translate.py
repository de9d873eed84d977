"""POST /translate with the embedded engine and with a real Triton: the same answers, the same problems."""

import base64
from typing import Any, NamedTuple

import httpx
import numpy as np
import orjson
import pytest

from contract.vectors import Features, pack_float32
from tests.integration.stack import BODY_BYTES_MAX, OTHER_TARGET, ROWS_MAX, eager, random_features
from tests.repository import SOURCE, TARGET

OCTET_STREAM = {"content-type": "application/octet-stream"}
JSON = {"content-type": "application/json"}
ROUTE = {"source_model": SOURCE.id, "target_model": TARGET.id}


class Bad(NamedTuple):
    """A request that must be refused, and how."""

    request: dict[str, Any]
    status: int
    code: str
    row: int | None = None


def as_base64(features: Features) -> list[str]:
    return [base64.b64encode(pack_float32(row)).decode() for row in features]


def spoilt(row: int, value: float) -> Features:
    """Four features, one with this value somewhere; with 0.0 the whole row is zero."""
    features = random_features(4)
    features[row, 3:4] = value
    features[row] *= float(value != 0.0) if np.isfinite(value) else 1.0
    return features


def floats(features: Features, **names: str) -> dict[str, Any]:
    return {"json": {**ROUTE, "features": features.tolist(), **names}}


def packed(body: bytes, **names: str | list[str]) -> dict[str, Any]:
    return {"content": body, "headers": OCTET_STREAM, "params": {**ROUTE, **names}}


def encoded(rows: list[str]) -> dict[str, Any]:
    return {"json": {**ROUTE, "features": rows, "encoding_format": "base64"}}


BAD = {
    "unknown source model": Bad(floats(random_features(1), source_model="nobody"), 404, "unknown-model"),
    "unknown target model": Bad(floats(random_features(1), target_model="nobody"), 404, "unknown-model"),
    "no route": Bad(floats(random_features(1), target_model=OTHER_TARGET.id), 404, "no-route"),
    "wrong dimension": Bad(floats(random_features(2, SOURCE.dim - 1)), 422, "wrong-dimension", 0),
    "one row too wide": Bad(
        {"json": {**ROUTE, "features": [[1.0] * SOURCE.dim, [1.0] * (SOURCE.dim + 1)]}}, 422, "wrong-dimension", 1
    ),
    "wrong dimension in base64": Bad(encoded(as_base64(random_features(2, SOURCE.dim + 1))), 422, "wrong-dimension", 0),
    "octet-stream ends within a row": Bad(packed(pack_float32(random_features(2))[:-4]), 422, "wrong-dimension", 1),
    "octet-stream ends within a number": Bad(packed(pack_float32(random_features(3))[:-1]), 422, "wrong-dimension", 2),
    "NaN in base64": Bad(encoded(as_base64(spoilt(2, np.nan))), 422, "not-finite", 2),
    "infinity in octet-stream": Bad(packed(pack_float32(spoilt(1, np.inf))), 422, "not-finite", 1),
    "infinity beyond float32 in JSON": Bad(
        {"json": {**ROUTE, "features": [[1.0] * SOURCE.dim, [1e39] * SOURCE.dim]}}, 422, "not-finite", 1
    ),
    "magnitude out of range": Bad(floats(spoilt(3, 1e7)), 422, "out-of-range", 3),
    "zero vector": Bad(floats(spoilt(3, 0.0)), 422, "zero-vector", 3),
    "zero vector in octet-stream": Bad(packed(pack_float32(spoilt(0, 0.0))), 422, "zero-vector", 0),
    "NaN written in JSON": Bad({"content": b'{"features": [[NaN]]}', "headers": JSON}, 400, "malformed"),
    "malformed JSON": Bad({"content": b'{"features": [[', "headers": JSON}, 400, "malformed"),
    "no features": Bad(floats(random_features(0)), 400, "malformed"),
    "empty octet-stream": Bad(packed(b""), 400, "malformed"),
    "empty body": Bad({"content": b"", "headers": JSON}, 400, "malformed"),
    "a row that is no list": Bad({"json": {**ROUTE, "features": [[1.0] * SOURCE.dim, 7]}}, 400, "malformed", 1),
    "a number that is none": Bad(
        {"json": {**ROUTE, "features": [[1.0] * SOURCE.dim, ["x"] * SOURCE.dim]}}, 400, "malformed", 1
    ),
    "malformed base64": Bad(encoded([*as_base64(random_features(2)), "no base64!"]), 400, "malformed", 2),
    "unknown field": Bad(floats(random_features(1), model="x"), 400, "malformed"),
    "octet-stream without its model": Bad(
        {"content": pack_float32(random_features(1)), "headers": OCTET_STREAM}, 400, "malformed"
    ),
    "octet-stream with features in its query": Bad(packed(b"0" * 96, features="[[1]]"), 400, "malformed"),
    "octet-stream in another encoding": Bad(packed(b"0" * 96, encoding_format="base64"), 400, "malformed"),
    "octet-stream with two models": Bad(packed(b"0" * 96, source_model=[SOURCE.id, "other"]), 400, "malformed"),
    "too many rows": Bad(encoded(as_base64(random_features(ROWS_MAX + 1))), 413, "too-large"),
    "too many rows in octet-stream": Bad(packed(pack_float32(random_features(ROWS_MAX + 1))), 413, "too-large"),
    "too many bytes": Bad(packed(b"0" * (BODY_BYTES_MAX + 1)), 413, "too-large"),
    "another content type": Bad(
        {"content": b"1,2", "headers": {"content-type": "text/csv"}}, 415, "unsupported-media-type"
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_request_gets_its_problem(client: httpx.Client, bad: Bad) -> None:
    answer = client.post("/translate", **bad.request)
    assert (answer.status_code, answer.headers["content-type"]) == (bad.status, "application/problem+json")
    problem = answer.json()
    assert (problem["code"], problem.get("row")) == (bad.code, bad.row)
    if bad.row is not None:
        assert f"row {bad.row}" in problem["detail"]


def test_a_body_that_never_ends_is_refused_at_the_bound(client: httpx.Client) -> None:
    def chunks() -> Any:  # noqa: ANN401 - a generator for httpx
        for _ in range(BODY_BYTES_MAX // 1024 + 2):
            yield b"0" * 1024

    answer = client.post("/translate", content=chunks(), headers=OCTET_STREAM, params=ROUTE)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


@pytest.mark.parametrize("rows", [1, 2, 7, ROWS_MAX])
def test_float_lists_translate_as_eager_torch_does(client: httpx.Client, rows: int) -> None:
    features = random_features(rows)
    answer = client.post("/translate", **floats(features))
    assert answer.status_code == 200, answer.text
    assert answer.json()["translator"]["id"] == f"{SOURCE.id}--{TARGET.id}"
    np.testing.assert_allclose(np.array(answer.json()["features"]), eager(features), rtol=0, atol=1e-4)


def test_base64_translates_as_eager_torch_does(client: httpx.Client) -> None:
    features = random_features(5, seed=1)
    answer = client.post("/translate", **encoded(as_base64(features)))
    assert answer.status_code == 200, answer.text
    rows = [np.frombuffer(base64.b64decode(row), dtype="<f4") for row in answer.json()["features"]]
    np.testing.assert_allclose(np.stack(rows), eager(features), rtol=0, atol=1e-4)


def test_octet_stream_translates_as_eager_torch_does(client: httpx.Client) -> None:
    features = random_features(ROWS_MAX, seed=2)
    answer = client.post("/translate", **packed(pack_float32(features)))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == OCTET_STREAM["content-type"]
    translated = np.frombuffer(answer.content, dtype="<f4").reshape(ROWS_MAX, TARGET.dim)
    np.testing.assert_allclose(translated, eager(features), rtol=0, atol=1e-4)


def test_a_refusal_never_repeats_what_was_sent(client: httpx.Client) -> None:
    features = random_features(2)
    features[1, 0] = 123456.75e3
    answer = client.post("/translate", **floats(features))
    assert answer.status_code == 422
    assert b"12345" not in answer.content
    assert orjson.loads(answer.content)["instance"].endswith(answer.headers["x-request-id"])
