"""Reports that survive an interruption."""

from pathlib import Path

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from service.bulk.errors import JobError
from service.bulk.import_progress import Report, State, is_published, read_state, remove_progress, save_state

IDS = ["plain", 'with "quotes", commas', "with\nline", "NA"]
FATES = ["new", "replaced", "refused: malformed", "new"]
FILE = Path("folder/a.parquet")
EXPECTED = [
    {"file": "a.parquet", "row": 10 + n, "face_id": face_id, "fate": fate}
    for n, (face_id, fate) in enumerate(zip(IDS, FATES, strict=True))
]
STATE = State(
    gallery="g",
    incarnation="i",
    fingerprint="0" * 64,
    columns="1" * 64,
    report="r.csv",
    rows=3,
    new=1,
    refused={"x": 1},
    report_bytes=9,
)


def rows_of(report: Path) -> list[dict[str, object]]:
    if report.suffix == ".parquet":
        return pq.read_table(report).to_pylist()
    return pa_csv.read_csv(report, parse_options=pa_csv.ParseOptions(newlines_in_values=True)).to_pylist()


@pytest.mark.parametrize("name", ["fates.csv", "fates.parquet"])
def test_a_report_goes_on_where_it_was_acknowledged(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    with Report(file, 0) as report:
        report.add(FILE, 10, IDS[:2], FATES[:2])
        kept_bytes = report.sync()
        report.add(FILE, 12, ["never acknowledged"], ["new"])
    assert not file.exists()
    with Report(file, kept_bytes) as report:
        report.add(FILE, 12, IDS[2:], FATES[2:])
        report.publish()
    assert rows_of(file) == EXPECTED
    assert is_published(file, len(IDS))
    remove_progress(tmp_path / "state.json", file)
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_an_empty_report_has_its_columns(tmp_path: Path) -> None:
    with Report(tmp_path / "fates.parquet", 0) as report:
        report.publish()
    assert pq.read_table(tmp_path / "fates.parquet").schema.names == ["file", "row", "face_id", "fate"]


def test_a_report_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "fates.csv").touch()
    with pytest.raises(JobError, match=r"fates.csv: exists"):
        Report(tmp_path / "fates.csv", 0)


def test_two_imports_never_write_one_report(tmp_path: Path) -> None:
    with Report(tmp_path / "fates.csv", 0), pytest.raises(JobError, match="another import writes it"):
        Report(tmp_path / "fates.csv", 0)


@pytest.mark.parametrize(("name", "reason"), [("fates.txt", "a .csv or a .parquet file"), ("no/f.csv", "No such file")])
def test_a_report_that_cannot_be_written_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(JobError, match=reason):
        Report(tmp_path / name, 0)


def test_a_report_that_lost_what_was_acknowledged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="shorter than the state says"):
        Report(tmp_path / "fates.csv", 10_000)


def test_a_state_is_read_as_it_was_saved(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert read_state(file) is None
    save_state(file, STATE)
    assert read_state(file) == STATE
    file.write_text("{}")
    with pytest.raises(JobError, match="no state of an import"):
        read_state(file)
