"""Wrong input to every command that reads pairs: one line with file, column and row, code 2, nothing half-written.

The command's own `main` runs here in the tests' process; what a process adds is tested in test_command_line.py.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.conftest import FACES, SOURCE, SOURCE_DIM, TARGET, Bakeoff
from training import cli

ROW = 17
Change = Callable[[pa.Table], pa.Table]


@pytest.fixture(autouse=True)
def the_process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`main` takes over SIGTERM and would start itself again for its allocator's settings."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "set")
    yield
    signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True)
class Command:
    """One command on one wrong file, and the folder it may write to."""

    arguments: list[str]
    out: Path


Refuse = Callable[[Command], str]


def commands(bakeoff: Bakeoff, wrong: Path, folder: Path) -> dict[str, Command]:
    sides = ["--pairs", str(wrong), "--source", SOURCE, "--target", TARGET]
    version = str(bakeoff.out / "candidates" / "affine" / f"{SOURCE}--{TARGET}" / "1")
    judged = ["evaluate", "--translator", version]
    outs = {name: folder / name for name in ("fit", "chosen", "bakeoff", "nothing")}
    return {
        "fit": Command(["fit", *sides, "--method", "procrustes", "--out", str(outs["fit"])], outs["fit"]),
        "chosen": Command(["fit", *sides, "--out", str(outs["chosen"])], outs["chosen"]),
        "bakeoff": Command(
            ["bakeoff", *sides, "--methods", "affine,procrustes", "--out", str(outs["bakeoff"])], outs["bakeoff"]
        ),
        "probes": Command([*judged, "--probes", str(wrong), "--gallery", str(bakeoff.pairs)], outs["nothing"]),
        "gallery": Command([*judged, "--probes", str(bakeoff.pairs), "--gallery", str(wrong)], outs["nothing"]),
    }


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Run a command to its refusal; returns the line."""

    def run(command: Command) -> str:
        monkeypatch.setattr(sys, "argv", ["r3an", *command.arguments, "--json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert ended.value.code == 2, printed.err
        assert printed.out == ""
        assert len(printed.err.splitlines()) == 1, printed.err
        assert not command.out.exists()
        return printed.err

    return run


def put(column: str, value: object, kind: pa.DataType | None = None) -> Change:
    """Another value in one row, and another type if asked for."""

    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[ROW] = value
        changed = pa.array(values, kind or table.schema.field(column).type)
        return table.set_column(table.column_names.index(column), column, changed)

    return change


def as_type(column: str, kind: pa.DataType) -> Change:
    return lambda table: table.set_column(
        table.column_names.index(column), column, pa.array(table[column].to_pylist(), kind)
    )


def renamed(column: str) -> Change:
    return lambda table: table.rename_columns([f"{name}x" if name == column else name for name in table.column_names])


def of_one_identity(table: pa.Table) -> pa.Table:
    return table.set_column(1, "identity", pa.array([3] * len(table), pa.int32()))


def vector_of_another(column: str, row: int = 0) -> Change:
    return lambda table: put(column, table[column][row].as_py())(table)


def spaces(change: Callable[[str], Change]) -> Change:
    """The same in both feature columns, so that a command meets it whichever it reads first."""
    return lambda table: change(TARGET)(change(SOURCE)(table))


ROWS = {
    "unequal lengths": (spaces(lambda s: put(s, [1.0] * 3, pa.list_(pa.float32()))), ["holds 3 numbers, not "]),
    "NaN": (spaces(lambda s: lambda t: put(s, [float("nan")] * t.schema.field(s).type.list_size)(t)), ["holds NaN"]),
    "zeros": (spaces(lambda s: lambda t: put(s, [0.0] * t.schema.field(s).type.list_size)(t)), ["zero vector"]),
    "nothing": (spaces(lambda s: put(s, None)), ["missing value"]),
    "vector of another identity": (
        spaces(vector_of_another),
        ["same vector up to its length as in a row before, of another identity"],
    ),
    "vector of its own identity": (
        spaces(lambda s: vector_of_another(s, FACES * (ROW // FACES))),
        ["same vector up to its length as in a row before\n"],
    ),
    "image id of another row": (put("image_id", "image-3"), ["column image_id", "occurs before"]),
    "no identity": (put("identity", None), ["column identity", "missing value"]),
    "identity below -1": (put("identity", -2), ["column identity", "below -1"]),
}
COLUMNS = {
    "feature column of another name": (spaces(renamed), ["column ", "no such feature space; there are "]),
    "feature column of doubles": (
        spaces(lambda s: lambda t: as_type(s, pa.list_(pa.float64(), t.schema.field(s).type.list_size))(t)),
        ["column ", "not fixed_size_list<float32>"],
    ),
    "feature column of lists": (
        spaces(lambda s: as_type(s, pa.list_(pa.float32()))),
        ["column ", "not fixed_size_list<float32>"],
    ),
    "identity of another name": (renamed("identity"), ["column identity", "no such column; there are "]),
    "identity of strings": (as_type("identity", pa.int64()), ["column identity", "is int64, not int32"]),
    "no rows": (lambda table: table.slice(0, 0), ["holds no rows"]),
}
NAMES = ["fit", "chosen", "bakeoff", "probes", "gallery"]


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_row_is_refused_by_file_column_and_row(
    bakeoff: Bakeoff, tmp_path: Path, name: str, refuse: Refuse
) -> None:
    for what, (change, words) in ROWS.items():
        wrong = tmp_path / "wrong.parquet"
        pq.write_table(change(pq.read_table(bakeoff.pairs)), wrong)
        said = refuse(commands(bakeoff, wrong, tmp_path)[name])
        for word in (f"{wrong}, column ", f"row {ROW}: ", *words):
            assert word in said, (what, said)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_column_is_refused_by_file_and_column(
    bakeoff: Bakeoff, tmp_path: Path, name: str, refuse: Refuse
) -> None:
    for what, (change, words) in COLUMNS.items():
        wrong = tmp_path / "wrong.parquet"
        pq.write_table(change(pq.read_table(bakeoff.pairs)), wrong)
        said = refuse(commands(bakeoff, wrong, tmp_path)[name])
        for word in (str(wrong), *words):
            assert word in said, (what, said)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_whole_parquet_is_refused_by_file(
    bakeoff: Bakeoff, tmp_path: Path, name: str, refuse: Refuse
) -> None:
    whole = bakeoff.pairs.read_bytes()
    footer_length = int.from_bytes(whole[-8:-4], "little") + 8
    damaged = bytes(len(whole) - footer_length)[4:]
    contents = {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"image_id,identity\n",
        "without its pages": b"PAR1" + damaged + whole[-footer_length:],
    }
    wrong = tmp_path / "wrong.parquet"
    for what, content in contents.items():
        wrong.write_bytes(content)
        said = refuse(commands(bakeoff, wrong, tmp_path)[name])
        assert str(wrong) in said, (what, said)
        assert "truncated" in said, (what, said)
    (tmp_path / "folder").mkdir()
    for path, words in ((tmp_path / "folder", "folder without"), (tmp_path / "none.parquet", "no such file")):
        said = refuse(commands(bakeoff, path, tmp_path)[name])
        assert str(path) in said
        assert words in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *((name, "fewer than two identities") for name in ("fit", "chosen", "bakeoff")),
        ("gallery", "holds one subject only"),
    ],
)
def test_one_identity_only_is_refused_by_file_and_column(
    bakeoff: Bakeoff, tmp_path: Path, name: str, words: str, refuse: Refuse
) -> None:
    wrong = tmp_path / "wrong.parquet"
    pq.write_table(of_one_identity(pq.read_table(bakeoff.pairs)), wrong)
    said = refuse(commands(bakeoff, wrong, tmp_path)[name])
    assert f"{wrong}, column identity: {words}" in said


@pytest.mark.parametrize("name", ["probes", "gallery"])
def test_vectors_of_another_dimension_than_the_translator_s_are_refused(
    bakeoff: Bakeoff, tmp_path: Path, name: str, refuse: Refuse
) -> None:
    wrong = tmp_path / "wrong.parquet"
    table = pq.read_table(bakeoff.pairs)
    other = SOURCE_DIM + 1
    wide = pa.array([[1.0 + row] * other for row in range(len(table))], pa.list_(pa.float32(), other))
    for space in (SOURCE, TARGET):
        table = table.set_column(table.column_names.index(space), space, wide)
    pq.write_table(table, wrong)
    said = refuse(commands(bakeoff, wrong, tmp_path)[name])
    assert f"{wrong}, column " in said
    assert f"dimension {other}, the translator has" in said


@pytest.mark.parametrize("name", ["fit", "bakeoff"])
def test_images_that_a_method_needs_and_lacks_are_refused_by_column(
    bakeoff: Bakeoff, tmp_path: Path, name: str, refuse: Refuse
) -> None:
    wrong = tmp_path / "wrong.parquet"
    pq.write_table(pq.read_table(bakeoff.pairs).drop_columns(["image"]), wrong)
    command = commands(bakeoff, wrong, tmp_path)[name]
    needing = [{"procrustes": "r3an", "affine,procrustes": "affine,r3an"}.get(word, word) for word in command.arguments]
    said = refuse(Command(needing, command.out))
    assert f"{wrong}, column image: no such column" in said
