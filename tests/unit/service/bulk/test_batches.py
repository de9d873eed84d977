"""Faces as the gateway takes them."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from service.bulk.batches import read_batches
from service.bulk.column_names import AS_THEY_ARE, ColumnNames, check_space, face_columns
from service.bulk.errors import DataError, JobError
from service.bulk.parquet import footer_of
from service.face_facts import instant_ms
from tests.parquet import INSTANT_MS, face_table, features_of_rows, replaced, training_table, write
from tests.repository import SOURCE


def batches(file: Path, given: ColumnNames = AS_THEY_ARE, batch_rows: int = 100) -> list[dict[str, Any]]:
    """Bodies as the gateway reads them."""
    columns = face_columns(file, footer_of(file)[0], SOURCE.id, given)
    read = read_batches(file, SOURCE.id, columns, 0, batch_rows)
    return [orjson.loads(orjson.dumps(batch.body())) for batch in read]


def test_all_that_an_export_holds_of_a_face_is_sent(tmp_path: Path) -> None:
    (body,) = batches(write(tmp_path / "a.parquet", face_table(4)))
    faces, features = body["faces"], body["features"]
    assert faces[0] == {"face_id": "face-00000", "subject": "subject-00000", "enrolled_at": "2023-11-14T22:13:20.000Z"}
    assert (faces[1]["tags"], faces[1]["metadata"]) == (["door-1"], {"number": 1})
    assert [instant_ms(face["enrolled_at"]) for face in faces] == [INSTANT_MS + n for n in range(4)]
    sent = np.frombuffer(b"".join(map(base64.b64decode, features)), "<f4").reshape(4, -1)
    np.testing.assert_array_equal(sent, features_of_rows(4))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_instants_of_any_unit_are_sent_and_missing_ones_left_out(tmp_path: Path, unit: str) -> None:
    per_s = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    instants = pa.array([1_700_000_000 * per_s, None], pa.timestamp(unit))
    (body,) = batches(write(tmp_path / "a.parquet", replaced(face_table(2), "enrolled_at", instants)))
    assert [face.get("enrolled_at") for face in body["faces"]] == ["2023-11-14T22:13:20.000Z", None]


NO_OBJECTS = ["{", "", "[]", "0", "false", "null", '""', '{"a":' * 400 + "1" + "}" * 400]


def test_metadata_that_is_no_object_is_sent_for_the_gateway_to_refuse(tmp_path: Path) -> None:
    texts = [*NO_OBJECTS, '{"a":1}', "{}", None]
    table = replaced(face_table(len(texts)), "metadata", pa.array(texts))
    (body,) = batches(write(tmp_path / "a.parquet", table))
    sent = [(face["metadata"],) if "metadata" in face else () for face in body["faces"]]
    nested = orjson.loads(NO_OBJECTS[-1])
    assert sent == [("{",), ("",), ([],), (0,), (False,), (None,), ("",), (nested,), ({"a": 1},), (), ()]


def test_training_data_is_read_by_its_usual_columns(tmp_path: Path) -> None:
    (body,) = batches(write(tmp_path / "a.parquet", training_table(3, SOURCE.id, SOURCE.dim)))
    assert body["faces"][2] == {"face_id": "image-00002", "subject": "1"}


def test_columns_may_be_named(tmp_path: Path) -> None:
    table = face_table(2).rename_columns(
        ["key", "person", "tags", "enrolled_at", "metadata", "subject_metadata", "vector"]
    )
    (body,) = batches(write(tmp_path / "a.parquet", table), ColumnNames("key", "person", "vector"))
    assert [face["subject"] for face in body["faces"]] == ["subject-00000"] * 2


def test_a_batch_never_holds_a_face_twice_and_keeps_the_order(tmp_path: Path) -> None:
    face_ids = ["a", "b", "a", "a", "c", "b"]
    file = write(tmp_path / "a.parquet", replaced(face_table(6), "face_id", pa.array(face_ids)))
    columns = face_columns(file, footer_of(file)[0], SOURCE.id, AS_THEY_ARE)
    read = list(read_batches(file, SOURCE.id, columns, 1, 4))
    assert [batch.face_ids for batch in read] == [["b", "a"], ["a"], ["c", "b"]]
    assert [batch.first_row for batch in read] == [1, 3, 4]


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("face_id", pa.array([1.5, 2.5]), "column face_id: is double, not string"),
        ("subject", pa.array([b"a", b"b"]), "column subject: is binary, not string"),
        ("tags", pa.array(["a", "b"]), "column tags: is string, not list<string>"),
        ("enrolled_at", pa.array([1, 2]), "column enrolled_at: is int64, not timestamp"),
        ("metadata", pa.array([1, 2]), "column metadata: is int64, not string"),
        ("subject_metadata", pa.array([1, 2]), "column subject_metadata: is int64, not string"),
    ],
)
def test_a_column_of_another_type_is_refused(tmp_path: Path, column: str, values: pa.Array, reason: str) -> None:
    file = write(tmp_path / "a.parquet", replaced(face_table(2), column, values))
    with pytest.raises(DataError, match=reason):
        batches(file)


def test_a_missing_id_is_named_by_its_row(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", replaced(face_table(3), "subject", pa.array(["a", None, "b"])))
    with pytest.raises(DataError, match="column subject, row 1: missing value"):
        batches(file)


def test_a_column_named_after_another_space_is_refused() -> None:
    with pytest.raises(JobError, match="holds features of b, not of a"):
        check_space(Path("x.parquet"), "b", "a", {"a", "b"})
    check_space(Path("x.parquet"), "feature", "a", {"a", "b"})
    check_space(Path("x.parquet"), "a", "a", {"a", "b"})
