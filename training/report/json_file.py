"""A JSON file that another command wrote, read as a model or refused in one line."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from training.errors import DataError

JSON_BYTES_MAX = 64 * 1024 * 1024

Model = TypeVar("Model", bound=BaseModel)


def parse(file: Path, model: type[Model]) -> Model:
    """The file's object. Raises DataError naming the file, and the place in it that is wrong."""
    values = _load(file)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])  # empty where the parts contradict one another
        reason = first["msg"].removeprefix("Value error, ")
        raise DataError(str(file), f"{place}: {reason}" if place else reason) from error


def _load(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > JSON_BYTES_MAX:
            raise DataError(str(file), f"exceeds {JSON_BYTES_MAX} bytes")
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(str(file), "no such file") from error
    except OSError as error:
        raise DataError(str(file), f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # neither JSON nor UTF-8, or nested beyond reason
        raise DataError(str(file), "is no JSON file") from error
    if not isinstance(values, dict):
        raise DataError(str(file), "is no JSON object")
    return values
