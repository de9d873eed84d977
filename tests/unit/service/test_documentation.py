"""What operators and clients read says what the gateway does."""

import json
from pathlib import Path

import pytest
from prometheus_client import Metric
from pydantic_core import to_jsonable_python

from service.app import create_app
from service.metrics import create_metrics
from service.problems import TABLE, Kind
from service.settings import Environment, Settings

DOCS = Path(__file__).parents[3] / "docs"
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_meaning(name: str) -> None:
    row = next(line for line in OPERATIONS.splitlines() if line.startswith(f"| `R3AN_{name.upper()}` |"))
    assert row.endswith(f"| {Settings.model_fields[name].description} |")


def test_every_documented_setting_exists() -> None:
    documented = {line.split("`")[1] for line in OPERATIONS.splitlines() if line.startswith("| `R3AN_")}
    assert documented == {f"R3AN_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("metric", list(create_metrics().registry.collect()), ids=lambda metric: metric.name)
def test_every_metric_is_documented(metric: Metric) -> None:
    suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
    assert f"| `{metric.name}{suffix}` | {metric.type} |" in OPERATIONS


# `invalid-feature` stands for the contract's own codes and never reaches a client.
@pytest.mark.parametrize("kind", [k for k in TABLE.values() if k.code != "invalid-feature"], ids=lambda kind: kind.code)
def test_every_problem_code_is_documented_with_its_status(kind: Kind) -> None:
    rows = [line for line in OPERATIONS.splitlines() if f"`{kind.code}`" in line and line.startswith("| ")]
    assert any(str(kind.status) in row.split("|")[1] for row in rows)


def test_the_committed_openapi_document_is_the_one_served() -> None:
    app = create_app(Settings(environment=Environment.DEVELOPMENT, api_keys_file=None))
    served = to_jsonable_python(app.openapi())
    committed = json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))
    assert app.openapi() == served
    assert served == committed, "run `r3an-gateway openapi > docs/openapi.json`"


def test_every_operation_that_waits_for_store_or_engine_documents_that_the_deadline_may_pass() -> None:
    document = json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    waiting = [operation for operation in operations if {"429", "503"} <= operation["responses"].keys()]
    assert len(waiting) > 20
    assert [operation["summary"] for operation in waiting if "504" not in operation["responses"]] == []


def test_every_operation_documents_its_problems_as_problems() -> None:
    document = json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))
    operations = [o for path, item in document["paths"].items() for o in item.values() if path == "/translate"]
    for status in ("400", "401", "403", "404", "413", "415", "422", "429", "502", "503", "504"):
        content = operations[0]["responses"][status]["content"]
        assert content["application/problem+json"]["schema"]["$ref"] == "#/components/schemas/Problem"
    assert "HTTPValidationError" not in json.dumps(document)
