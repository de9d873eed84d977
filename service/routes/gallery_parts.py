"""What all routes under /galleries share: who may ask, names in paths, and fields of faces in bodies and answers."""

from typing import Annotated, Final

import orjson
from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema

from contract.spaces import Name, RecordId
from service.access import Scope
from service.face_facts import TAGS_MAX, instant_ms, instant_text, metadata_text, sorted_tags
from service.galleries.values import Face
from service.routes.dependencies import admitted

READING: Final = [admitted(Scope.SEARCH)]
ENROLLING: Final = [admitted(Scope.ENROL)]
ADMINISTERING: Final = [admitted(Scope.ADMIN)]

GalleryName = Annotated[Name, Path(description="Name of the gallery.")]
FaceId = Annotated[RecordId, Path(description="Id of the face.")]
Subject = Annotated[RecordId, Path(description="Id of the subject.")]

Instant = Annotated[
    int | None,
    PlainValidator(lambda value: None if value is None else instant_ms(value)),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}],
            "description": "RFC 3339, kept to the millisecond.",
        }
    ),
]


def _tags(value: object) -> object:
    """A list in JSON, names with commas between in a query."""
    tags = value.split(",") if isinstance(value, str) else value
    if not isinstance(tags, list) or len(tags) > TAGS_MAX:  # ahead of pydantic, which has an error for each of millions
        raise ValueError(f"a list of at most {TAGS_MAX} is expected")
    return tuple(tags)


Tags = Annotated[tuple[Name, ...], Field(max_length=TAGS_MAX), BeforeValidator(_tags), AfterValidator(sorted_tags)]


def metadata_field(bytes_max: int) -> PlainValidator:
    """Reads a JSON object as its compact text."""

    def read(value: object) -> str:
        if not isinstance(value, dict):
            raise ValueError("an object is expected")  # noqa: TRY004 - pydantic catches ValueError
        return metadata_text(value, bytes_max)

    return PlainValidator(read)


OBJECT_SCHEMA: Final = WithJsonSchema({"type": "object"})


def face_fields(face: Face) -> dict[str, object]:
    """What an answer says of a face itself, for orjson."""
    return {
        "face_id": face.face_id,
        "subject": face.subject,
        "tags": face.tags,
        "enrolled_at": instant_text(face.enrolled_at_ms),
        "metadata": orjson.Fragment(face.metadata),
    }
