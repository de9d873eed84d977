"""What callers say of faces beside their ids: read strictly, bounded, written back the same."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.face_facts import instant_ms, instant_text, metadata_text, sorted_tags

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = (datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-31T12:00:00Z", 1_769_860_800_000),
        ("2026-01-31t13:00:00.5+01:00", 1_769_860_800_500),
        ("2026-01-31 12:00:00.123456789z", 1_769_860_800_123),
        ("2026-01-31T00:30:00-11:30", 1_769_860_800_000),
        ("9999-12-31T23:59:59.999Z", LAST_MS),
    ],
)
def test_an_instant_is_read_to_the_millisecond(text: str, expected_ms: int) -> None:
    assert instant_ms(text) == expected_ms


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31T12:00Z",
        "2026-W05-6T12:00:00Z",
        "20260131T120000Z",
        "2026-02-30T12:00:00Z",
        "2026-01-31T24:00:01Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T12:00:00+24:00",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:30:00+01:00",
        "9999-12-31T23:59:59-00:01",
        "2026-01-31T12:00:00Z\n",
        "٢٠٢٦-01-31T12:00:00Z",
        1_769_860_800_000,
        None,
    ],
)
def test_what_is_no_instant_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"expected|no such instant"):
        instant_ms(value)


@given(st.integers(0, LAST_MS))
def test_an_instant_is_read_as_it_was_written(since_1970_ms: int) -> None:
    assert instant_ms(instant_text(since_1970_ms)) == since_1970_ms


def test_tags_stand_in_order_and_once() -> None:
    assert sorted_tags(["b", "a", "b"]) == ("a", "b")


def test_metadata_is_kept_as_compact_text_up_to_its_bound() -> None:
    metadata = {"floor": 3, "name": "é", "of": [True, None]}
    text = metadata_text(metadata, 100)
    assert text == '{"floor":3,"name":"é","of":[true,null]}'
    assert metadata_text(metadata, len(text.encode())) == text
    with pytest.raises(ValueError, match=f"{len(text.encode())} bytes as compact JSON, of {len(text)}"):
        metadata_text(metadata, len(text))


def test_metadata_nested_beyond_what_is_written_is_refused() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        metadata_text(orjson.loads('{"a":' + "[" * 400 + "]" * 400 + "}"), 1024)
