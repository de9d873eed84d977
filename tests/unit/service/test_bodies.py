"""Bodies that carry features: what is read, and what is refused with which row."""

import asyncio
import base64
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import BaseModel, ConfigDict
from starlette.types import Message

from contract.vectors import pack_float32
from service.bounds import Deadline
from service.errors import (
    BodyTooLargeError,
    DeadlineExceededError,
    GatewayError,
    InvalidFeatureError,
    MalformedBodyError,
    UnsupportedMediaTypeError,
)
from service.routes.bodies import (
    EncodingFormat,
    FeatureBody,
    parse_json,
    read_body,
    read_feature_body,
    to_features,
    validate,
)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def request(chunks: Sequence[bytes], *, query: str = "", **headers: str) -> Request:
    """A request whose body arrives in these chunks; without chunks it never arrives."""
    messages: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
        for index, chunk in enumerate(chunks)
    ]

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "headers": raw, "query_string": query.encode()}
    return Request(scope, receive)


def soon(seconds: float = 60) -> Deadline:
    return Deadline(time.monotonic() + seconds)


@pytest.mark.anyio
async def test_a_body_within_its_bound_is_read_whole() -> None:
    assert await read_body(request([b"12", b"", b"34"], content_length="4"), 4, soon()) == b"1234"


@pytest.mark.anyio
@pytest.mark.parametrize("headers", [{"content_length": "5"}, {}, {"content_length": "junk"}])
async def test_a_body_beyond_its_bound_is_refused_whether_or_not_it_says_so(headers: dict[str, str]) -> None:
    with pytest.raises(BodyTooLargeError, match="4 bytes"):
        await read_body(request([b"123", b"45"], **headers), 4, soon())


@pytest.mark.anyio
async def test_a_body_that_never_arrives_meets_the_deadline() -> None:
    with pytest.raises(DeadlineExceededError, match="did not arrive"):
        await read_body(request([]), 4, soon(0.05))


@pytest.mark.anyio
async def test_json_and_octet_stream_bodies_name_the_same_things() -> None:
    json = await read_feature_body(
        request([b'{"source_model": "a", "features": [[1]]}'], content_type="Application/JSON; charset=utf-8"),
        FeatureBody,
        100,
        soon(),
    )
    octets = await read_feature_body(
        request([b"\0\0\x80\x3f"], query="source_model=a", content_type="application/octet-stream"),
        FeatureBody,
        100,
        soon(),
    )
    assert (json.source_model, json.features) == ("a", [[1]])
    assert (octets.source_model, octets.features) == ("a", b"\0\0\x80\x3f")


@pytest.mark.anyio
async def test_another_media_type_is_refused_before_the_body_is_read() -> None:
    with pytest.raises(UnsupportedMediaTypeError):
        await read_feature_body(request([], content_type="text/csv"), FeatureBody, 100, soon())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON: line 1 column 1"),
        (b"{", "not JSON"),
        (b'{"source_model": "a", "features": [[NaN]]}', "not JSON"),
        (b"[]", "body: Input should be"),
        (b"{}", "source_model: Field required"),
        (b'{"source_model": "A", "features": []}', "source_model: String should match"),
        (b'{"source_model": 1, "features": []}', "source_model: Input should be a valid string"),
        (b'{"source_model": "a", "features": "secret"}', "features: a list is expected"),
        (b'{"source_model": "a", "features": [], "encoding_format": "hex"}', "encoding_format"),
        (b'{"source_model": "a", "features": [], "secret": 1}', "body: an unknown field"),
        (b'{"source_model": "a", "features": [], "Marked-Secret": 1}', "body: an unknown field"),
        (b"[" * 2000, "not JSON"),
    ],
)
async def test_a_malformed_body_is_refused_with_field_and_reason(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedBodyError) as refused:
        await read_feature_body(request([body]), FeatureBody, 10_000, soon())
    assert refused.value.detail.startswith(reason)
    assert "secret" not in refused.value.detail.lower()


@pytest.mark.anyio
async def test_an_unknown_query_parameter_is_refused_without_its_name() -> None:
    asked = request([b""], query="source_model=a&secret=1", content_type="application/octet-stream")
    with pytest.raises(MalformedBodyError, match=r"^body: an unknown field$"):
        await read_feature_body(asked, FeatureBody, 100, soon())


def test_an_unknown_field_is_placed_by_what_is_known_before_it() -> None:
    class Inner(BaseModel):
        model_config = ConfigDict(extra="forbid")

        number: int

    class Outer(BaseModel):
        inners: list[Inner]

    for value, reason in (
        ({"inners": [{"number": 1}, {"number": 2, "secret": 3}]}, "inners.1: an unknown field"),
        ({"inners": [{"number": 1}, {"number": "secret"}]}, "inners.1.number: Input should be a valid integer"),
    ):
        with pytest.raises(MalformedBodyError, match=f"^row 7: {reason}") as refused:
            validate(Outer, value, row=7)
        assert "secret" not in refused.value.detail


@given(ANYTHING)
def test_whatever_stands_for_features_is_read_or_refused_never_a_crash(value: object) -> None:
    formats: tuple[EncodingFormat, ...] = ("float", "base64")
    for encoding_format in formats:
        try:
            features = to_features(value if isinstance(value, list) else [value], encoding_format, 2, 10)
        except GatewayError:
            continue
        assert features.dtype == np.float32
        assert features.shape[1] == 2


@given(arrays(np.float32, (3, 4), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_the_three_encodings_carry_the_same_features(features: np.ndarray) -> None:
    packed = [base64.b64encode(pack_float32(row)).decode() for row in features]
    encodings: list[tuple[list[Any] | bytes, EncodingFormat]] = [
        (features.tolist(), "float"),
        (packed, "base64"),
        (pack_float32(features), "float"),
    ]
    for raw, encoding_format in encodings:
        read = to_features(raw, encoding_format, 4, 3)
        assert read.tobytes() == features.tobytes() or np.array_equal(read, features)


def test_integers_are_numbers_and_beyond_float32_is_infinity() -> None:
    np.testing.assert_array_equal(to_features([[1, -2.5], [1e39, 2**64]], "float", 2, 2)[0], [1, -2.5])
    assert np.isinf(to_features([[1e39, 0.0]], "float", 2, 2)[0, 0])


@pytest.mark.parametrize(
    ("rows", "row"),
    [
        ([[1.0, 2.0], [1.0, True]], 1),
        ([[1.0, "2"]], 0),
        ([[1.0, None]], 0),
        ([[1.0, [2.0]]], 0),
        ([[1.0, 2.0], 3.0], 1),
        ([[1.0, 2.0], "AAAAAAAAAAA="], 1),
        ([[1.0, 2.0], {"0": 1}], 1),
    ],
)
def test_a_row_that_is_no_list_of_numbers_is_named(rows: list[Any], row: int) -> None:
    with pytest.raises(MalformedBodyError, match=f"row {row}: not a list of numbers") as refused:
        to_features(rows, "float", 2, 10)
    assert refused.value.row == row


@pytest.mark.parametrize("text", ["!!!!", "AAA", "AAAAAAAAAAA=\n", 7, [1.0], "ä", None])
def test_a_row_that_is_no_base64_is_named(text: object) -> None:
    with pytest.raises(MalformedBodyError, match="row 1: not base64"):
        to_features(["AAAAAAAAAAA=", text], "base64", 2, 10)


@pytest.mark.parametrize(
    ("raw", "encoding_format", "row"),
    [
        ([[1.0, 2.0], [1.0]], "float", 1),
        ([[]], "float", 0),
        (["AAAAAAAAAAA=", "AAAAAA=="], "base64", 1),
        (b"\0" * 12, "float", 1),
        (b"\0" * 3, "float", 0),
    ],
)
def test_a_row_of_another_dimension_is_named(raw: list[Any] | bytes, encoding_format: EncodingFormat, row: int) -> None:
    with pytest.raises(InvalidFeatureError) as refused:
        to_features(raw, encoding_format, 2, 10)
    assert (refused.value.row, refused.value.code) == (row, "wrong_dimension")


@pytest.mark.parametrize("raw", [[], b""])
def test_no_features_are_refused(raw: list[Any] | bytes) -> None:
    with pytest.raises(MalformedBodyError, match="features: empty"):
        to_features(raw, "float", 2, 10)


@pytest.mark.parametrize("raw", [[[1.0, 2.0]] * 3, b"\0" * 24, b"\0" * 17])
def test_more_rows_than_the_bound_are_refused(raw: list[Any] | bytes) -> None:
    with pytest.raises(BodyTooLargeError, match="2 features"):
        to_features(raw, "float", 2, 2)


def test_parsed_json_is_plain() -> None:
    assert parse_json(b'{"a": [1, 2.5, "x", null]}') == {"a": [1, 2.5, "x", None]}
