"""What callers say of a face or a subject beside its id: tags, the time of enrolment, metadata; each within a bound."""

import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

TAGS_MAX: Final = 16
FACE_METADATA_BYTES_MAX: Final = 1024
SUBJECT_METADATA_BYTES_MAX: Final = 4096

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LAST_MS: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
# RFC 3339; fromisoformat alone also takes dates without a time, weeks, and times without an offset.
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def now_ms() -> int:
    """Milliseconds since 1970 in UTC."""
    return time.time_ns() // 1_000_000


def instant_ms(text: object) -> int:
    """An RFC 3339 instant as milliseconds since 1970 in UTC, what is finer cut off. Raises ValueError."""
    if not isinstance(text, str) or _INSTANT.fullmatch(text) is None:
        raise ValueError("an RFC 3339 instant is expected, such as 2026-01-31T12:00:00Z")
    try:
        instant = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError("there is no such instant") from None
    since_1970_ms = (instant - _EPOCH) // _MILLISECOND
    if not 0 <= since_1970_ms <= _LAST_MS:
        raise ValueError("the years 1970 to 9999 are expected")
    return since_1970_ms


def instant_text(since_1970_ms: int) -> str:
    """Milliseconds since 1970 as an RFC 3339 instant in UTC."""
    instant = _EPOCH + since_1970_ms * _MILLISECOND
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sorted_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags in order, each once."""
    return tuple(sorted(set(tags)))


def metadata_text(metadata: Mapping[str, Any], bytes_max: int) -> str:
    """A JSON object as compact text. Raises ValueError: longer than bytes_max, or nested too deeply."""
    try:
        packed = orjson.dumps(metadata)
    except TypeError:
        raise ValueError("nested too deeply") from None
    if len(packed) > bytes_max:
        raise ValueError(f"{len(packed)} bytes as compact JSON, of {bytes_max}")
    return packed.decode()
