"""Feature spaces and the grammar of every name that crosses a boundary."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

DIMENSION_MAX = 8192

# One grammar for whatever becomes a folder, a Redis key, a metric label or a Triton model: lower case, no separators
# of paths or queries, never hidden.
NAME_LENGTH_MAX = 128
NAME_PATTERN = rf"^[a-z0-9](?:[a-z0-9._-]{{0,{NAME_LENGTH_MAX - 2}}}[a-z0-9])?$"

# Ids that users choose (faces, subjects): wider, but still free of white space, slashes and control characters.
RECORD_ID_PATTERN = r"^[A-Za-z0-9](?:[A-Za-z0-9._:@=+-]{0,127})$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
RecordId = Annotated[str, StringConstraints(pattern=RECORD_ID_PATTERN)]


class FeatureSpace(BaseModel):
    """What one encoder version emits: an id and a dimension. Vectors of different spaces are never compared."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: Name
    dim: int = Field(ge=1, le=DIMENSION_MAX)
