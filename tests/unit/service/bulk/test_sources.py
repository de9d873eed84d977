"""Which files are worked on, and of which space they are."""

from pathlib import Path

import pytest

from service.bulk.errors import BulkError, DataError, JobError
from service.bulk.export_folder import EXPORT_FILE, read_export
from service.bulk.sources import find_sources, fingerprint
from tests.parquet import export_of, face_table, write


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """An export of two spaces."""
    return export_of(tmp_path, {"a": face_table(5, 24), "b": face_table(3, 16)})


def found(path: Path, space: str | None, *beside: str) -> list[tuple[str, str, int]]:
    return [(source.file.name, source.space, source.rows) for source in find_sources(path, space, beside)]


def test_an_export_says_its_spaces(export: Path) -> None:
    assert found(export, None) == [("part-00000.parquet", "a", 5), ("part-00000.parquet", "b", 3)]
    assert found(export / "a", "a") == found(export / "a", None) == [("part-00000.parquet", "a", 5)]


@pytest.mark.parametrize("part", ["", "a", "a/part-00000.parquet"])
def test_another_space_than_the_export_says_is_refused(export: Path, part: str) -> None:
    with pytest.raises(JobError, match=r"holds features of a(, b)?, not of c"):
        find_sources(export / part, "c")


def test_a_part_of_an_export_is_never_left_out_in_silence(export: Path) -> None:
    with pytest.raises(JobError, match=r"export.json: holds 5 faces of a too, .*: name .*/b to take those of b alone"):
        find_sources(export, "b")
    assert found(export, "b", "a") == found(export, "a", "b") == found(export, None)


def test_a_file_that_says_no_space_needs_one(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", face_table(5))
    assert found(file, "a") == found(tmp_path, "a") == [("a.parquet", "a", 5)]
    with pytest.raises(JobError, match="name it with --source-model"):
        find_sources(file, None)


def test_a_part_that_is_not_the_exported_one_is_refused(export: Path) -> None:
    write(export / "b" / "part-00000.parquet", face_table(3, 16, seed=1))
    with pytest.raises(DataError, match=r"part-00000.parquet: is not the file that export.json names"):
        find_sources(export, None)


def test_a_part_that_is_missing_is_refused(export: Path) -> None:
    (export / "b" / "part-00000.parquet").unlink()
    with pytest.raises(DataError, match=r"b/part-00000.parquet"):
        find_sources(export, None)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('"faces": 5', '"faces": 0', r"export.json: spaces.a.faces: Input should be greater"),
        ('"file": "part-00000.parquet"', '"file": "../../secret"', "should match pattern"),
        ('"gallery"', '"galery"', r"export.json: gallery: Field required"),
        ('"b": {', '"c": {', "its sha256 is not that of the parts"),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(export: Path, before: str, after: str, reason: str) -> None:
    text = (export / EXPORT_FILE).read_text()
    (export / EXPORT_FILE).write_text(text.replace(before, after, 1))
    with pytest.raises(BulkError, match=reason):
        read_export(export)


def test_a_fingerprint_changes_with_any_byte(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", face_table(5))
    before = fingerprint(find_sources(file, "a"))
    assert before == fingerprint(find_sources(file, "a"))
    assert before != fingerprint(find_sources(file, "b"))
    write(file, face_table(5, seed=1))
    assert before != fingerprint(find_sources(file, "a"))
