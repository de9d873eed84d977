"""What was begun with one gallery never goes on with another one, whatever its name or its gateway."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from deploy.gateway import GatewayServer
from service.bulk.errors import JobError, StoppedError
from service.bulk.exporting import STATE_FILE, Target, export_gallery
from service.bulk.importing import Import, import_gallery
from tests.gateway import development_settings, running_gateway
from tests.integration.bulk import faces_of, refusal, run, stopping_gateway
from tests.integration.galleries import created_gallery
from tests.parquet import face_table, write
from tests.repository import SOURCE, write_translator

ROWS = 200  # of files; the gateway takes 64 at a time
OTHER = "another gallery of this name"


@pytest.fixture
def url(gateway: GatewayServer) -> str:
    return gateway.url


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[httpx.Client]:
    """Another gateway with a store of its own."""
    write_translator(tmp_path / "elsewhere" / "model_repository")
    with running_gateway(development_settings(tmp_path / "elsewhere")) as client:
        yield client


def made_anew(client: httpx.Client, gallery: str) -> None:
    assert client.delete(f"/galleries/{gallery}").status_code == 204
    assert client.put(f"/galleries/{gallery}", json={"model": SOURCE.id}).status_code == 201


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def interrupted_import(url: str, job: Import) -> tuple[object, ...]:
    """Begin an import and stop it after some rows; returns the command that would go on."""
    stopping, stop_from = stopping_gateway(url)
    with stopping, pytest.raises(StoppedError):
        import_gallery(stopping, job, stop_from(30))
    return ("gallery", "import", job.gallery, job.source, "--source-model", SOURCE.id, "--state", job.state)


def interrupted_export(url: str, gallery: str, folder: Path) -> None:
    """Export the first page of a gallery of some."""
    stopping, stop_from = stopping_gateway(url)
    with stopping, pytest.raises(StoppedError):
        export_gallery(stopping, Target(gallery, folder, part_faces=1000), stop_from(1000))
    assert (folder / STATE_FILE).exists()


def when_first(change: Callable[[], None]) -> Callable[[int, int], None]:
    """A progress callback that makes a change once, when the first rows are done."""
    changed: list[int] = []

    def on_rows(done: int, total: int) -> None:
        if done and not changed:
            changed.append(done)
            change()

    return on_rows


def test_an_import_never_goes_on_in_a_gallery_that_was_made_anew(
    client: httpx.Client, url: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "a.parquet", face_table(ROWS))
    with created_gallery(client, SOURCE) as gallery:
        job = Import(gallery, file, tmp_path / "state", SOURCE.id, batch_rows=30)
        command = interrupted_import(url, job)
        made_anew(client, gallery)
        before = job.state.read_bytes()
        assert OTHER in refusal(run(url, *command))
        assert (faces_of(client, gallery), job.state.read_bytes()) == (0, before)
        job.state.unlink()
        assert run(url, *command).exit_code == 0
        assert faces_of(client, gallery) == ROWS


def test_an_import_never_goes_on_through_another_gateway(
    client: httpx.Client, url: str, elsewhere: httpx.Client, tmp_path: Path
) -> None:
    file = write(tmp_path / "a.parquet", face_table(ROWS))
    with created_gallery(client, SOURCE) as gallery:
        assert elsewhere.put(f"/galleries/{gallery}", json={"model": SOURCE.id}).status_code == 201
        command = interrupted_import(url, Import(gallery, file, tmp_path / "state", SOURCE.id, batch_rows=30))
        assert OTHER in refusal(run(str(elsewhere.base_url), *command))
        assert faces_of(elsewhere, gallery) == 0
        assert run(url, *command).exit_code == 0
        assert faces_of(client, gallery) == ROWS


def test_an_import_whose_gallery_is_made_anew_meanwhile_never_succeeds(
    client: httpx.Client, url: str, tmp_path: Path
) -> None:
    file, report = write(tmp_path / "a.parquet", face_table(ROWS)), tmp_path / "fates.csv"
    with created_gallery(client, SOURCE) as gallery:
        job = Import(gallery, file, tmp_path / "state", SOURCE.id, report=report, batch_rows=30, in_flight=1)
        bulk, _ = stopping_gateway(url)
        with bulk, pytest.raises(JobError, match="was deleted and made anew meanwhile"):
            import_gallery(bulk, job, when_first(lambda: made_anew(client, gallery)))
        assert not report.exists()
        command = ("gallery", "import", gallery, file, "--source-model", SOURCE.id, "--report", report)
        assert OTHER in refusal(run(url, *command, "--state", job.state))


def test_an_export_never_goes_on_with_a_gallery_that_was_made_anew(
    client: httpx.Client, url: str, elsewhere: httpx.Client, tmp_path: Path
) -> None:
    old, folder = write(tmp_path / "old.parquet", face_table(1200)), tmp_path / "out"
    new = write(tmp_path / "new.parquet", face_table(1200, seed=1, first=9000))
    with created_gallery(client, SOURCE) as gallery:
        options = ("--source-model", SOURCE.id, "--state", tmp_path / "state")
        assert run(url, "gallery", "import", gallery, old, *options).exit_code == 0
        assert elsewhere.put(f"/galleries/{gallery}", json={"model": SOURCE.id}).status_code == 201
        interrupted_export(url, gallery, folder)
        before = contents(folder)
        assert OTHER in refusal(run(str(elsewhere.base_url), "gallery", "export", gallery, folder))
        made_anew(client, gallery)
        assert run(url, "gallery", "import", gallery, new, *options).exit_code == 0
        assert OTHER in refusal(run(url, "gallery", "export", gallery, folder))
        assert contents(folder) == before


def test_an_export_whose_gallery_is_made_anew_meanwhile_is_never_whole(
    client: httpx.Client, url: str, tmp_path: Path
) -> None:
    file, folder = write(tmp_path / "a.parquet", face_table(1200)), tmp_path / "out"
    with created_gallery(client, SOURCE) as gallery:
        options = ("--source-model", SOURCE.id, "--state", tmp_path / "state")
        assert run(url, "gallery", "import", gallery, file, *options).exit_code == 0
        bulk, _ = stopping_gateway(url)
        with bulk, pytest.raises(JobError, match="was deleted and made anew meanwhile"):
            export_gallery(bulk, Target(gallery, folder), when_first(lambda: made_anew(client, gallery)))
        assert not (folder / "export.json").exists()
        assert OTHER in refusal(run(url, "gallery", "export", gallery, folder))
