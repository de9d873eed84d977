"""What OpenAPI says of bodies that routes parse themselves, and of problems."""

from typing import Any

from pydantic import BaseModel

from service.problems import PROBLEM_MEDIA_TYPE, Problem
from service.routes.bodies import JSON, OCTET_STREAM


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of these statuses, each a problem."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    answer = {"description": "Problem", "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}}}
    return dict.fromkeys(statuses, answer)


def json_body(model: type[BaseModel], *, optional: bool = False) -> dict[str, Any]:
    """OpenAPI of a body as JSON."""
    required = {} if optional else {"required": True}
    return {"requestBody": {**required, "content": {JSON: {"schema": model.model_json_schema()}}}}


def request_body(model: type[BaseModel], *query: str) -> dict[str, Any]:
    """OpenAPI of a body as JSON, or as float32-LE with `source_model` and these fields in the query."""
    schema = model.model_json_schema()
    parameters = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": f"With `{OCTET_STREAM}` only.",
            "schema": schema["properties"][name],
            "explode": False,  # a list is written with commas
        }
        for name in ("source_model", *query)
    ]
    binary = {"type": "string", "format": "binary", "description": "N rows of dim little-endian float32."}
    content = {JSON: {"schema": schema}, OCTET_STREAM: {"schema": binary}}
    return {"requestBody": {"required": True, "content": content}, "parameters": parameters}
