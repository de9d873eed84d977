"""The one table from errors to HTTP."""

import inspect

import httpx
import pytest
from fastapi import FastAPI

from service import errors
from service.metrics import create_metrics
from service.observation import Observation
from service.problems import TABLE, Problem, add_problem_handlers

FAMILY = [e for _, e in inspect.getmembers(errors, inspect.isclass) if issubclass(e, errors.GatewayError)]


class NewOverloadError(errors.OverloadedError):
    """A class that the table does not know."""


async def answer_to(error: Exception) -> httpx.Response:
    """What a client gets when a route raises."""
    app = FastAPI()
    app.add_middleware(Observation, metrics=create_metrics())
    add_problem_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.get("/", headers={"X-Request-ID": "request-7"})


def make(error: type[errors.GatewayError]) -> errors.GatewayError:
    if error is errors.InvalidFeatureError:
        return errors.InvalidFeatureError("row 3: a reason", code="not_finite", row=3)
    return error("a reason", row=3)


@pytest.mark.anyio
@pytest.mark.parametrize("error", FAMILY)
async def test_every_error_of_the_tree_becomes_its_problem(error: type[errors.GatewayError]) -> None:
    response = await answer_to(make(error))
    problem = Problem.model_validate_json(response.content)
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, problem.row) == (problem.status, 3)
    assert problem.type == f"urn:r3an:problem:{problem.code}"
    assert problem.instance == "urn:r3an:request:request-7"
    assert problem.detail.endswith("a reason")
    assert ("retry-after" in response.headers) == (response.status_code in {429, 503})
    assert ("www-authenticate" in response.headers) == (response.status_code == 401)


def test_codes_are_stable_and_tell_errors_apart() -> None:
    codes = [kind.code for kind in TABLE.values()]
    assert len(codes) == len(set(codes))


@pytest.mark.anyio
async def test_a_class_that_is_not_listed_takes_its_nearest_ancestor() -> None:
    response = await answer_to(NewOverloadError("too much", retry_after_s=9))
    assert (response.status_code, response.json()["code"], response.headers["retry-after"]) == (503, "overloaded", "9")


@pytest.mark.anyio
async def test_a_features_own_code_is_the_problems() -> None:
    assert (await answer_to(make(errors.InvalidFeatureError))).json()["code"] == "not-finite"


@pytest.mark.anyio
async def test_the_unforeseen_is_a_500_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    response = await answer_to(KeyError("marked-subject"))
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "marked" not in response.text
    assert response.headers["x-request-id"] == "request-7"
    assert any(record.exc_info for record in caplog.records)
