"""Files of faces appear whole, and their owner alone can read them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from service.bulk.import_progress import KINDS, Report
from service.bulk.parts import OWNER_ONLY, PARTIAL, new_part, write_text
from tests.parquet import face_table


@pytest.fixture(autouse=True)
def _generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


def write_part(file: Path) -> None:
    table = face_table(3)
    with new_part(file, table.schema) as writer:
        writer.write(table)
        assert mode(file.with_name(file.name + PARTIAL)) == OWNER_ONLY


def write_note(file: Path) -> None:
    write_text(file, "a face_id")


def write_report(file: Path) -> None:
    with Report(file, 0) as report:
        report.add(Path("a.parquet"), 0, ["face"], ["new"])
        assert mode(file.with_name(f"{file.name}.journal")) == OWNER_ONLY
        report.publish()


WRITERS = {"part.parquet": write_part, "note.json": write_note, "r.csv": write_report, "r.parquet": write_report}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_its_owners_alone_from_the_first_byte(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    assert mode(tmp_path / name) == OWNER_ONLY


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_killed_program_left_open_to_all_is_not_written_on(tmp_path: Path, name: str) -> None:
    for left in (PARTIAL, ".journal"):
        (tmp_path / f"{name}{left}").touch(mode=0o666)
    WRITERS[name](tmp_path / name)
    assert mode(tmp_path / name) == OWNER_ONLY


def test_a_link_that_waits_under_the_name_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("as it was")
    (tmp_path / f"note.json{PARTIAL}").symlink_to(elsewhere)
    (tmp_path / f"part.parquet{PARTIAL}").symlink_to(elsewhere)
    write_note(tmp_path / "note.json")
    write_part(tmp_path / "part.parquet")
    assert elsewhere.read_text() == "as it was"


def test_a_file_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_part(tmp_path / "a.parquet", pa.schema(KINDS)):
        raise RuntimeError
    assert not list(tmp_path.iterdir())
