"""Bodies that carry features: read within bounds, checked row by row, kept off the per-number path of pydantic."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

import numpy as np
import orjson
from fastapi import Request
from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError, WithJsonSchema

from contract.errors import VectorError
from contract.spaces import Name
from contract.vectors import FLOAT32_BYTES, Features, unpack_float32
from service.bounds import Deadline
from service.errors import (
    BodyTooLargeError,
    DeadlineExceededError,
    InvalidFeatureError,
    MalformedBodyError,
    UnsupportedMediaTypeError,
)
from service.problems import first_reason

JSON: Final = "application/json"
OCTET_STREAM: Final = "application/octet-stream"

EncodingFormat = Literal["float", "base64"]


def _list_or_bytes(value: object) -> object:
    if isinstance(value, list | bytes):
        return value
    raise ValueError("a list is expected")


# pydantic looks no further than the outer type; `to_features` checks each row at C speed.
RawFeatures = Annotated[
    list[Any] | bytes,
    PlainValidator(_list_or_bytes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "minItems": 1, "items": {"type": "array", "items": {"type": "number"}}},
                {"type": "array", "minItems": 1, "items": {"type": "string", "format": "byte"}},
            ],
            "description": "Float lists, or base64 strings of little-endian float32 with `encoding_format: base64`.",
        }
    ),
]


Model = TypeVar("Model", bound=BaseModel)


class FeatureBody(BaseModel):
    """What every body with features holds. Unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source_model: Name
    features: RawFeatures
    encoding_format: EncodingFormat = "float"


def media_type(request: Request) -> str:
    """The content type without its parameters, lower case; JSON where none is given."""
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower()


def declared_bytes(request: Request) -> int:
    """How long a request says that its body is; 0 where it does not say."""
    declared = request.headers.get("content-length", "0")
    return int(declared) if declared.isdecimal() else 0


async def read_body(request: Request, bytes_max: int, deadline: Deadline) -> bytes:
    """The whole body, refused as soon as it is too long, whether or not it says how long it is.

    Raises:
        BodyTooLargeError, DeadlineExceededError.
    """
    too_large = BodyTooLargeError(f"a body may have {bytes_max} bytes")
    if declared_bytes(request) > bytes_max:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(deadline.remaining_ms() / 1000):
            async for chunk in request.stream():
                if len(body) + len(chunk) > bytes_max:
                    raise too_large
                body += chunk
    except TimeoutError:
        raise DeadlineExceededError("the body did not arrive before the deadline") from None
    return bytes(body)


def parse_json(body: bytes) -> object:
    """JSON from bytes. Raises MalformedBodyError."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBodyError(f"not JSON: line {error.lineno} column {error.colno}") from None


def validate(model: type[Model], value: object, *, strict: bool = True, row: int | None = None) -> Model:
    """`value`, which is that of a row where it is one of many, as a pydantic model.

    Raises:
        MalformedBodyError: with the row, the first field and the reason, without the value.
    """
    try:
        return model.model_validate(value, strict=strict)
    except ValidationError as error:
        where = "" if row is None else f"row {row}: "
        raise MalformedBodyError(
            where + first_reason(error.errors(include_url=False, include_input=False)), row=row
        ) from None


async def read_json_body(
    request: Request, model: type[Model], bytes_max: int, deadline: Deadline, *, optional: bool = False
) -> Model:
    """A body of JSON as a pydantic model, whatever its content type says. An optional one may be empty, as `{}`.

    Raises:
        BodyTooLargeError, MalformedBodyError, DeadlineExceededError.
    """
    body = await read_body(request, bytes_max, deadline)
    return validate(model, parse_json(body or b"{}" if optional else body))


async def read_feature_body(request: Request, model: type[Model], bytes_max: int, deadline: Deadline) -> Model:
    """A body with features: JSON, or octet-stream with its other fields in the query.

    Raises:
        UnsupportedMediaTypeError, BodyTooLargeError, MalformedBodyError, DeadlineExceededError.
    """
    kind = media_type(request)
    if kind not in {JSON, OCTET_STREAM}:
        raise UnsupportedMediaTypeError(f"send {JSON} or {OCTET_STREAM}")
    if kind == JSON:
        return await read_json_body(request, model, bytes_max, deadline)
    body = await read_body(request, bytes_max, deadline)
    query = request.query_params.multi_items()
    names = [name for name, _ in query]
    if len(set(names)) < len(names):
        raise MalformedBodyError("a query parameter stands twice")
    if {"features", "encoding_format"} & set(names):
        raise MalformedBodyError(f"{OCTET_STREAM} carries the features in its body, as float32")
    return validate(model, {**dict(query), "features": body}, strict=False)


def to_features(raw: list[Any] | bytes, encoding_format: EncodingFormat, dim: int, rows_max: int) -> Features:
    """Features [N, dim] float32 from a body's `features`; 1 ≤ N ≤ rows_max. Values are not judged here.

    Raises:
        MalformedBodyError: empty, or a row that is no list of numbers or no base64.
        InvalidFeatureError: a row of another dimension.
        BodyTooLargeError: more rows than rows_max.
    """
    if not raw:
        raise MalformedBodyError("features: empty")
    rows = -(-len(raw) // (dim * FLOAT32_BYTES)) if isinstance(raw, bytes) else len(raw)
    if rows > rows_max:
        raise BodyTooLargeError(f"a request may have {rows_max} features")
    try:
        if isinstance(raw, bytes):
            return unpack_float32(raw, dim)
        return _from_base64(raw, dim) if encoding_format == "base64" else _from_lists(raw, dim)
    except VectorError as error:
        raise InvalidFeatureError.of(error) from None


def _from_lists(rows: Sequence[Any], dim: int) -> Features:
    for index, row in enumerate(rows):
        # np.array would take True for 1.0 and "2" for 2.0.
        if type(row) is not list or not set(map(type, row)) <= {float, int}:
            raise MalformedBodyError(f"row {index}: not a list of numbers", row=index)
        if len(row) != dim:
            raise VectorError(index, "wrong_dimension", f"dimension {len(row)} where {dim} is expected")
    with np.errstate(over="ignore"):  # beyond float32 becomes infinity, which check_features refuses with its row
        return np.array(rows, dtype=np.float64).astype(np.float32)


def _from_base64(rows: Sequence[Any], dim: int) -> Features:
    packed = bytearray()  # of all rows: an array for each would cost as much as its decoding
    for index, row in enumerate(rows):
        try:
            decoded = base64.b64decode(row, validate=True) if type(row) is str else None
        except (binascii.Error, ValueError):
            decoded = None
        if decoded is None:
            raise MalformedBodyError(f"row {index}: not base64", row=index)
        if len(decoded) != dim * FLOAT32_BYTES:
            reason = f"{len(decoded)} bytes where {dim * FLOAT32_BYTES} ({dim} float32) are expected"
            raise VectorError(index, "wrong_dimension", reason)
        packed += decoded
    return unpack_float32(memoryview(packed), dim)
