"""ONE table from the error tree to HTTP, answered as RFC 9457 `application/problem+json`."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from service import errors

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"


class Kind(NamedTuple):
    """What all problems of one kind share."""

    status: int
    code: str
    title: str


# error class -> status, code, title. A class not listed takes its nearest ancestor's row.
TABLE: Final[Mapping[type[errors.GatewayError], Kind]] = {
    errors.BadRequestError: Kind(400, "malformed", "The request is malformed"),
    errors.BodyTooLargeError: Kind(413, "too-large", "The request is too large"),
    errors.UnsupportedMediaTypeError: Kind(415, "unsupported-media-type", "The content type is not supported"),
    errors.InvalidFeatureError: Kind(422, "invalid-feature", "A feature cannot be used"),
    errors.UncalibratedError: Kind(422, "uncalibrated", "The false-match rate cannot be honoured"),
    errors.AccessError: Kind(403, "forbidden", "The API key may not do this"),
    errors.UnauthenticatedError: Kind(401, "unauthenticated", "A valid API key is needed"),
    errors.QuotaExceededError: Kind(429, "quota-exceeded", "The quota of the API key is used up"),
    errors.NotFoundError: Kind(404, "not-found", "There is no such thing"),
    errors.UnknownModelError: Kind(404, "unknown-model", "The feature space is not known"),
    errors.NoRouteError: Kind(404, "no-route", "No translator joins these feature spaces"),
    errors.UnknownGalleryError: Kind(404, "unknown-gallery", "The gallery is not known"),
    errors.UnknownFaceError: Kind(404, "unknown-face", "The face is not enrolled"),
    errors.UnknownSubjectError: Kind(404, "unknown-subject", "The subject is not enrolled"),
    errors.UnknownMigrationError: Kind(404, "unknown-migration", "The migration is not known"),
    errors.ConflictError: Kind(409, "conflict", "The request is at odds with what exists"),
    errors.GallerySpaceMismatchError: Kind(409, "space-mismatch", "The gallery holds another feature space"),
    errors.GalleryLimitError: Kind(409, "gallery-limit", "A bound of the gallery store is reached"),
    errors.DuplicateFaceError: Kind(409, "duplicate-face", "The face is enrolled under another subject"),
    errors.CopiesChangedError: Kind(409, "copies-changed", "A migration began or ended meanwhile"),
    errors.CopyExistsError: Kind(409, "copy-exists", "The gallery has this copy, or two, already"),
    errors.CopyServesError: Kind(409, "copy-serves", "The copy serves searches"),
    errors.CopyIncompleteError: Kind(409, "copy-incomplete", "The copy lacks faces"),
    errors.RankingLimitError: Kind(409, "ranking-limit", "Ranking subjects takes too many faces"),
    errors.GalleryTooSmallError: Kind(409, "gallery-too-small", "The gallery holds too few faces for this"),
    errors.MigrationStateError: Kind(409, "migration-state", "The migration is not at this point"),
    errors.EngineError: Kind(502, "engine-failed", "The engine failed"),
    errors.EngineOverloadedError: Kind(503, "engine-overloaded", "The engine has too much to do"),
    errors.EngineUnavailableError: Kind(503, "engine-unavailable", "The engine cannot be reached"),
    errors.EngineTimeoutError: Kind(504, "engine-timeout", "The engine did not answer in time"),
    errors.OverloadedError: Kind(503, "overloaded", "The gateway is overloaded"),
    errors.DeadlineExceededError: Kind(504, "deadline-exceeded", "The request took too long"),
    errors.GalleryUnavailableError: Kind(503, "gallery-unavailable", "The gallery store cannot be reached"),
    errors.StillBuildingError: Kind(503, "still-building", "It is still being built"),
    errors.GatewayError: Kind(500, "internal", "The gateway failed"),
}


class Problem(BaseModel):
    """RFC 9457 problem details with a stable `code`, and the first bad row (from 0) where there is one."""

    model_config = ConfigDict(extra="forbid")

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    row: int | None = None


def problem(request: Request, kind: Kind, detail: str, row: int | None = None) -> Response:
    """A problem as a response; its code is noted for the metrics."""
    request.state.problem_code = kind.code
    body: dict[str, object] = {
        "type": f"urn:r3an:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "code": kind.code,
        "detail": detail,
        "instance": f"urn:r3an:request:{request.state.request_id}",
    }
    if row is not None:
        body["row"] = row
    return Response(orjson.dumps(body), kind.status, media_type=PROBLEM_MEDIA_TYPE)


def internal_problem(request: Request) -> Response:
    """The answer to every unforeseen failure. No exception text leaves the gateway."""
    return problem(request, TABLE[errors.GatewayError], "an unexpected error; the log has its place")


def add_problem_handlers(app: FastAPI) -> None:
    """Answer the error tree, FastAPI's validation and Starlette's own errors as problems."""
    app.add_exception_handler(errors.GatewayError, _answer_gateway_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)


def first_reason(reasons: Sequence[Any]) -> str:
    """The first reason of a pydantic validation as `field: reason`, without the value or the name that was refused."""
    first = reasons[0]
    is_unknown = first["type"] == "extra_forbidden"
    # An unknown field's name is the client's, and may be anything; what stands before it are our own names and rows.
    place = ".".join(map(str, first["loc"][:-1] if is_unknown else first["loc"])) or "body"
    return f"{place}: {'an unknown field' if is_unknown else first['msg'].removeprefix('Value error, ')}"


def _kind_of(error: errors.GatewayError) -> Kind:
    kind = next(TABLE[ancestor] for ancestor in type(error).__mro__ if ancestor in TABLE)
    return kind._replace(code=error.code.replace("_", "-")) if isinstance(error, errors.InvalidFeatureError) else kind


async def _answer_gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.GatewayError)  # noqa: S101 - for the type checker
    response = problem(request, _kind_of(error), error.detail, error.row)
    if response.status_code in {429, 503}:
        response.headers["Retry-After"] = str(error.retry_after_s or errors.RETRY_AFTER_S)
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


async def _answer_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - for the type checker
    return problem(request, TABLE[errors.BadRequestError], first_reason(error.errors()))


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - for the type checker
    title = HTTPStatus(error.status_code).phrase
    response = problem(request, Kind(error.status_code, title.lower().replace(" ", "-"), title), title)
    response.headers.update(error.headers or {})
    return response
