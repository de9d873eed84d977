"""Imports and exports that are interrupted go on; what does not fit what was begun is refused."""

from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from deploy.gateway import GatewayServer
from service.bulk.column_names import face_columns, fingerprint_of_columns
from service.bulk.errors import JobError, StoppedError
from service.bulk.export_folder import read_export
from service.bulk.exporting import STATE_FILE, Target, export_gallery
from service.bulk.exporting import State as ExportState
from service.bulk.import_progress import State, save_state
from service.bulk.importing import Import, import_gallery
from service.bulk.parquet import footer_of
from service.bulk.sources import find_sources, fingerprint
from tests.integration.bulk import exported_faces, faces_of, refusal, run, stopping_gateway
from tests.integration.galleries import created_gallery
from tests.parquet import face_table, write
from tests.repository import SOURCE

ROWS = 200  # of files; the gateway takes 64 at a time


@pytest.fixture
def url(gateway: GatewayServer) -> str:
    return gateway.url


def test_an_interrupted_import_goes_on_and_reports_every_row_once(
    client: httpx.Client, url: str, tmp_path: Path
) -> None:
    write(tmp_path / "in" / "a.parquet", face_table(ROWS), 50)
    write(tmp_path / "in" / "b.parquet", face_table(ROWS, seed=1, first=ROWS))
    report = tmp_path / "fates.parquet"
    with created_gallery(client, SOURCE) as gallery:
        job = Import(gallery, tmp_path / "in", tmp_path / "s", SOURCE.id, report=report, batch_rows=30)
        interrupted, stop_from = stopping_gateway(url)
        with interrupted, pytest.raises(StoppedError):
            import_gallery(interrupted, job, stop_from(60))
        assert 60 <= faces_of(client, gallery) < 2 * ROWS
        resumed, stop_from = stopping_gateway(url)
        first_seen: list[int] = []
        with resumed:
            counts = import_gallery(resumed, job, lambda done, total: first_seen.append(done))
        assert first_seen[0] >= 60
        assert (counts.rows, counts.new, counts.replaced) == (2 * ROWS, 2 * ROWS, 0)
        assert faces_of(client, gallery) == 2 * ROWS
    rows = pq.read_table(report)
    assert rows.column("face_id").to_pylist() == [f"face-{n:05d}" for n in range(2 * ROWS)]
    assert rows.column("row").to_pylist() == [*range(ROWS), *range(ROWS)]
    assert rows.column("fate").to_pylist() == ["new"] * 2 * ROWS


def incarnation_of(client: httpx.Client, gallery: str) -> str:
    return str(client.get(f"/galleries/{gallery}").json()["incarnation"])


def killed_at_the_end(client: httpx.Client, job: Import, rows: int) -> None:
    """Leave the state that an import has until its very last step."""
    assert job.report is not None
    assert not job.state.exists()
    (source,) = find_sources(job.source, job.space)
    columns = face_columns(source.file, footer_of(source.file)[0], source.space, job.columns)
    state = State(
        gallery=job.gallery,
        incarnation=incarnation_of(client, job.gallery),
        fingerprint=fingerprint([source]),
        columns=fingerprint_of_columns([columns]),
        report=job.report.name,
        rows=rows,
        new=rows,
        refused={},
        report_bytes=100,
    )
    save_state(job.state, state)


@pytest.mark.parametrize("rows", [0, 70])
@pytest.mark.parametrize(("name", "journal"), [("r.csv", False), ("r.parquet", False), ("r.parquet", True)])
def test_an_import_that_was_killed_after_its_report_appeared_is_finished(
    client: httpx.Client, url: str, tmp_path: Path, name: str, journal: bool, rows: int
) -> None:
    file, report = write(tmp_path / "a.parquet", face_table(70).slice(0, rows)), tmp_path / name
    with created_gallery(client, SOURCE) as gallery:
        job = Import(gallery, file, tmp_path / "s", SOURCE.id, report=report)
        command = ("gallery", "import", gallery, file, "--source-model", SOURCE.id, "--report", report)
        assert run(url, *command, "--state", job.state).exit_code == 0
        written = report.read_bytes()
        killed_at_the_end(client, job, rows)
        if journal:
            (tmp_path / f"{name}.journal").write_text("file,row,face_id,fate\n")
        again = run(url, *command, "--state", job.state)
        assert again.exit_code == 0, again.output
        assert [n for n in again.stdout.split() if n.isdecimal()][:4] == [str(rows), str(rows), "0", "0"]
        assert {path.name for path in tmp_path.iterdir()} == {"a.parquet", name}
        assert report.read_bytes() == written
        assert "exists; name another report" in refusal(run(url, *command, "--state", job.state))


@pytest.mark.parametrize("name", ["r.csv", "r.parquet"])
def test_a_report_of_other_rows_is_never_taken_for_that_of_an_import(
    client: httpx.Client, url: str, tmp_path: Path, name: str
) -> None:
    file, report = write(tmp_path / "a.parquet", face_table(70)), tmp_path / name
    write(report, face_table(3))
    journal = report.with_name(f"{name}.journal")
    journal.write_text("the fates of all rows, which no report holds yet\n" * 3)
    with created_gallery(client, SOURCE) as gallery:
        job = Import(gallery, file, tmp_path / "s", SOURCE.id, report=report)
        killed_at_the_end(client, job, 70)
        options = ("--source-model", SOURCE.id, "--report", report, "--state", job.state)
        assert "exists; name another report" in refusal(run(url, "gallery", "import", gallery, file, *options))
    assert journal.exists()
    assert job.state.exists()


def test_a_changed_file_is_refused_on_resume(client: httpx.Client, url: str, tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", face_table(ROWS))
    with created_gallery(client, SOURCE) as gallery, created_gallery(client, SOURCE) as other:
        job = Import(gallery, file, tmp_path / "s", SOURCE.id, batch_rows=30)
        interrupted, stop_from = stopping_gateway(url)
        with interrupted, pytest.raises(StoppedError):
            import_gallery(interrupted, job, stop_from(30))
        before = faces_of(client, gallery)
        command = ("--source-model", SOURCE.id, "--state", tmp_path / "s")
        assert "begun with another gallery" in refusal(run(url, "gallery", "import", other, file, *command))
        write(file, face_table(ROWS, seed=1))
        assert "begun with another content" in refusal(run(url, "gallery", "import", gallery, file, *command))
        assert (faces_of(client, gallery), faces_of(client, other)) == (before, 0)


def test_other_columns_are_refused_on_resume(client: httpx.Client, url: str, tmp_path: Path) -> None:
    table = face_table(ROWS)
    file = write(tmp_path / "a.parquet", table.append_column("other", table.column("face_id")))
    with created_gallery(client, SOURCE) as gallery:
        job = Import(gallery, file, tmp_path / "s", SOURCE.id, batch_rows=30)
        interrupted, stop_from = stopping_gateway(url)
        with interrupted, pytest.raises(StoppedError):
            import_gallery(interrupted, job, stop_from(30))
        before = (faces_of(client, gallery), job.state.read_bytes())
        command = ("gallery", "import", gallery, file, "--source-model", SOURCE.id, "--state", job.state)
        assert "another choice of columns" in refusal(run(url, *command, "--subject-column", "other"))
        assert (faces_of(client, gallery), job.state.read_bytes()) == before
        assert run(url, *command, "--subject-column", "subject").exit_code == 0  # the one it was begun with
        assert faces_of(client, gallery) == ROWS


def test_an_interrupted_export_goes_on_to_the_same_faces(client: httpx.Client, url: str, tmp_path: Path) -> None:
    file = write(tmp_path / "in.parquet", face_table(2500))
    with created_gallery(client, SOURCE) as gallery:
        run(url, "gallery", "import", gallery, file, "--source-model", SOURCE.id, "--state", tmp_path / "s")
        undisturbed, stop_from = stopping_gateway(url)
        with undisturbed:
            whole = export_gallery(undisturbed, Target(gallery, tmp_path / "whole", part_faces=900))
        for rows in (1, 1001):
            interrupted, stop_from = stopping_gateway(url)
            with interrupted, pytest.raises(StoppedError):
                export_gallery(interrupted, Target(gallery, tmp_path / "out"), stop_from(rows))
            assert (tmp_path / "out" / STATE_FILE).exists()
            (tmp_path / "out" / SOURCE.id / "part-00009.parquet").write_bytes(b"left by an exporter that was killed")
        assert run(url, "gallery", "export", gallery, tmp_path / "out").exit_code == 0
    assert exported_faces(tmp_path / "out") == exported_faces(tmp_path / "whole")
    assert [part.rows for part in whole.spaces[SOURCE.id].parts] == [1000, 1000, 500]
    names = {path.name for path in (tmp_path / "out").rglob("*")}
    assert names == {"export.json", SOURCE.id, "part-00000.parquet", "part-00001.parquet", "part-00002.parquet"}


def test_an_export_that_was_killed_after_it_was_whole_is_finished(
    client: httpx.Client, url: str, tmp_path: Path
) -> None:
    file, folder = write(tmp_path / "in.parquet", face_table(70)), tmp_path / "out"
    with created_gallery(client, SOURCE) as gallery, created_gallery(client, SOURCE) as other:
        run(url, "gallery", "import", gallery, file, "--source-model", SOURCE.id, "--state", tmp_path / "s")
        (folder).mkdir()
        (folder / f"{STATE_FILE}.partial").write_text("{")  # killed before it began
        first = run(url, "gallery", "export", gallery, folder)
        assert first.exit_code == 0, first.output
        whole = read_export(folder)
        incarnation = incarnation_of(client, gallery)
        state = ExportState(gallery=gallery, incarnation=incarnation, after="face-00069", spaces=whole.spaces)
        (folder / STATE_FILE).write_text(state.model_dump_json())
        assert "holds a finished export" in refusal(run(url, "gallery", "export", other, folder))
        again = run(url, "gallery", "export", gallery, folder)
        assert (again.exit_code, again.stdout) == (0, first.stdout)
        assert read_export(folder) == whole
        assert {path.name for path in folder.iterdir()} == {"export.json", SOURCE.id}
        assert "holds a finished export" in refusal(run(url, "gallery", "export", gallery, folder))


def test_a_folder_with_anything_else_in_it_is_no_place_for_an_export(
    client: httpx.Client, url: str, tmp_path: Path
) -> None:
    with created_gallery(client, SOURCE) as gallery, created_gallery(client, SOURCE) as other:
        assert run(url, "gallery", "export", gallery, tmp_path / "done").exit_code == 0
        assert "holds a finished export" in refusal(run(url, "gallery", "export", gallery, tmp_path / "done"))
        (tmp_path / "used").mkdir()
        (tmp_path / "used" / "letter.txt").touch()
        assert "is not empty" in refusal(run(url, "gallery", "export", gallery, tmp_path / "used"))
        (tmp_path / "half").mkdir()
        state = f'{{"gallery":"{other}","incarnation":"x","after":null,"spaces":{{}}}}'
        (tmp_path / "half" / STATE_FILE).write_text(state)
        assert f"of an export of {other}" in refusal(run(url, "gallery", "export", gallery, tmp_path / "half"))
        (tmp_path / "half" / STATE_FILE).write_text("{")
        assert "no state of an export" in refusal(run(url, "gallery", "export", gallery, tmp_path / "half"))
        empty = run(url, "gallery", "import", other, tmp_path / "done", "--state", tmp_path / "s")
        assert empty.exit_code == 0


def test_two_exports_never_share_a_folder(client: httpx.Client, url: str, tmp_path: Path) -> None:
    first, _ = stopping_gateway(url)
    second, _ = stopping_gateway(url)
    with created_gallery(client, SOURCE) as gallery, first, second:
        target = Target(gallery, tmp_path / "out")
        refused: list[str] = []

        def begin_again(done: int, total: int) -> None:
            if not refused:
                with pytest.raises(JobError, match="another process works in it") as error:
                    export_gallery(second, target)
                refused.append(str(error.value))

        export_gallery(first, target, begin_again)
    assert refused
