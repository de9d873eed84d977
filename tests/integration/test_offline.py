"""Parquet of one space into Parquet of another, with the real engine in real processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.manifest import MANIFEST_FILE, MODEL_FILE
from contract.vectors import Features, pack_float32, unpack_float32
from deploy.process import wait_until
from service.bulk.errors import JobError, StoppedError
from service.bulk.offline import Job, Moved, translate_folder
from service.bulk.parquet import feature_array, features_of
from service.bulk.parts import held_folder
from tests.integration.bulk import refusal, run, write_part_beside_another
from tests.integration.stack import OTHER_SOURCE, ROWS_MAX, eager
from tests.parquet import export_of, face_table, features_of_rows, replaced, training_table, write
from tests.repository import SOURCE, TARGET, write_translator

ROWS = 300


@pytest.fixture(scope="module")
def galleries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two files that no test changes."""
    folder = tmp_path_factory.mktemp("elsewhere")
    write(folder / "a.parquet", face_table(ROWS), 40)
    write(folder / "b.parquet", face_table(ROWS, seed=1, first=ROWS))
    return folder


def job(source: Path, out: Path, repository: Path) -> Job:
    return Job(source, out, SOURCE.id, TARGET.id, repository, part_rows=128)


def command(source: Path, out: Path, repository: Path, *more: object) -> list[object]:
    route = ("--source", SOURCE.id, "--target", TARGET.id, "--model-repository", repository)
    return ["translate-parquet", source, out, *route, "--workers", 1, "--part-rows", 128, *more]


def refused(*arguments: object) -> str:
    return refusal(run("", *arguments))


def translated(out: Path, column: str = "feature") -> tuple[pa.Table, Features]:
    table = pa.concat_tables(pq.read_table(file) for file in sorted(out.glob("*.parquet")))
    return table, features_of(table.column(column).combine_chunks())


def contents(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.iterdir()}


def test_a_folder_is_translated_row_by_row_on_all_workers(
    galleries: Path, translators: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    work = job(galleries, tmp_path / "two", translators)
    monkeypatch.setattr("service.bulk.offline.write_part", write_part_beside_another)
    assert translate_folder(work, 2, lambda done, total: seen.append((done, total))) == Moved(2 * ROWS, native=0)
    monkeypatch.undo()
    assert f"{os.getpid()}" not in [note.name for note in (tmp_path / "two.processes").iterdir()]
    assert seen[0] == (0, 2 * ROWS)
    assert seen[-1] == (2 * ROWS, 2 * ROWS)
    table, features = translated(tmp_path / "two")
    raw = np.concatenate([features_of_rows(ROWS), features_of_rows(ROWS, seed=1)])
    np.testing.assert_allclose(features, eager(raw), atol=1e-6)
    assert table.column("face_id").to_pylist() == [f"face-{n:05d}" for n in range(2 * ROWS)]
    whole = pa.concat_tables([face_table(ROWS), face_table(ROWS, seed=1, first=ROWS)]).drop(["feature"])
    assert table.select(whole.schema.names).replace_schema_metadata() == whole
    assert [f.name for f in sorted((tmp_path / "two").iterdir())] == [
        f"{f}-0000{n}.parquet" for f in "ab" for n in "012"
    ]
    translate_folder(job(galleries, tmp_path / "one", translators), 1)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_it_agrees_with_the_gateway(client: httpx.Client, galleries: Path, translators: Path, tmp_path: Path) -> None:
    assert run("", *command(galleries / "a.parquet", tmp_path / "out", translators)).exit_code == 0
    names = {"source_model": SOURCE.id, "target_model": TARGET.id}
    octets = {"Content-Type": "application/octet-stream"}
    body = pack_float32(features_of_rows(ROWS)[:ROWS_MAX])
    answer = client.post("/translate", params=names, content=body, headers=octets)
    served = unpack_float32(answer.content, TARGET.dim)
    np.testing.assert_allclose(translated(tmp_path / "out")[1][:ROWS_MAX], served, atol=1e-6)


def test_training_data_keeps_its_other_columns(translators: Path, tmp_path: Path) -> None:
    table = training_table(50, SOURCE.id, SOURCE.dim).append_column("image", pa.array([b"pixels"] * 50))
    file = write(tmp_path / "in" / "pairs.parquet", table)
    assert run("", *command(file, tmp_path / "out", translators)).exit_code == 0
    out, features = translated(tmp_path / "out", TARGET.id)
    assert out.schema.names[:4] == ["image_id", "identity", TARGET.id, "image"]
    np.testing.assert_allclose(features, eager(features_of_rows(50)), atol=1e-6)


@pytest.mark.parametrize("workers", [1, 2])
def test_faces_of_an_export_that_are_in_the_target_already_stay_as_they_are(
    translators: Path, tmp_path: Path, workers: int
) -> None:
    native = face_table(200, TARGET.dim, seed=3, first=ROWS)
    export = export_of(tmp_path / "in", {SOURCE.id: face_table(ROWS), TARGET.id: native})
    work = command(export, tmp_path / "out", translators, "--workers", workers)
    result = run("", *work)
    assert result.exit_code == 0, result.output
    assert f"{ROWS} faces of {SOURCE.id} are in {TARGET.id} now, 200 were before" in result.stdout
    names = [f"native-part-00000-0000{n}" for n in (0, 1)] + [f"part-00000-0000{n}" for n in (0, 1, 2)]
    assert [file.stem for file in sorted((tmp_path / "out").iterdir())] == names
    table, features = translated(tmp_path / "out")
    assert table.column("face_id").to_pylist() == [f"face-{n:05d}" for n in (*range(ROWS, ROWS + 200), *range(ROWS))]
    np.testing.assert_array_equal(features[:200], features_of_rows(200, TARGET.dim, seed=3))
    np.testing.assert_allclose(features[200:], eager(features_of_rows(ROWS)), atol=1e-6)
    assert table.slice(0, 200).select(native.schema.names[:-1]).replace_schema_metadata() == native.drop(["feature"])
    assert table.column("derived_from").to_pylist() == [None] * 200 + [SOURCE.id] * ROWS
    before = contents(tmp_path / "out")
    assert run("", *work).exit_code == 0
    assert contents(tmp_path / "out") == before


def test_faces_of_a_third_space_are_never_left_out_in_silence(translators: Path, tmp_path: Path) -> None:
    tables = {SOURCE.id: face_table(5), OTHER_SOURCE.id: face_table(7, OTHER_SOURCE.dim), TARGET.id: face_table(3, 16)}
    export = export_of(tmp_path / "in", tables)
    line = refused(*command(export, tmp_path / "out", translators))
    assert f"export.json: holds 7 faces of {OTHER_SOURCE.id} too" in line
    assert not (tmp_path / "out").exists()
    assert run("", *command(export / SOURCE.id, tmp_path / "out", translators)).exit_code == 0
    assert translated(tmp_path / "out")[0].num_rows == 5


def test_an_empty_file_becomes_an_empty_file(translators: Path, tmp_path: Path) -> None:
    work = command(write(tmp_path / "in.parquet", face_table(0)), tmp_path / "out", translators)
    assert run("", *work).exit_code == run("", *work).exit_code == 0
    assert pq.read_table(tmp_path / "out").num_rows == 0


def test_an_interrupted_translation_keeps_what_is_finished(galleries: Path, translators: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "out", list[int]()
    with pytest.raises(StoppedError):
        translate_folder(job(galleries, out, translators), 1, lambda done, _: seen.append(done), lambda: bool(seen[1:]))
    finished = contents(out)
    assert 1 <= len(finished) < 6
    again: list[int] = []
    translate_folder(job(galleries, out, translators), 1, lambda done, _: again.append(done))
    assert again[0] == seen[-1]
    assert {name: content for name, content in contents(out).items() if name in finished} == finished
    translate_folder(job(galleries, tmp_path / "undisturbed", translators), 1)
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_workers_end_with_a_killed_command_which_then_goes_on(translators: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.parquet", tmp_path / "out"
    write(source, face_table(60_000))
    arguments = [str(part) for part in command(source, out, translators, "--workers", 2, "--part-rows", 2000)]
    program = [sys.executable, "-m", "service.cli", *arguments]
    with subprocess.Popen(program, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        wait_until(lambda: any(out.glob("*.parquet")), 60, "the first part")
        workers = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
    assert len(workers) >= 2
    wait_until(lambda: not any(worker.is_running() for worker in workers), 60, "the workers to end")
    finished = {name: content for name, content in contents(out).items() if name.endswith(".parquet")}
    assert run("", *arguments).exit_code == 0
    assert contents(out).items() >= finished.items()
    np.testing.assert_allclose(translated(out)[1], eager(features_of_rows(60_000)), atol=1e-6)
    assert not list(out.glob("*.partial"))


def test_a_changed_input_is_refused_on_resume(galleries: Path, translators: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in" / "a.parquet", face_table(ROWS))
    assert run("", *command(source, tmp_path / "out", translators)).exit_code == 0
    before = contents(tmp_path / "out")
    write(source, face_table(ROWS, seed=1))
    line = refused(*command(source, tmp_path / "out", translators))
    assert "was made of another input_sha256" in line
    assert "of another input_rows" in refused(*command(source, tmp_path / "out", translators, "--part-rows", 100))
    assert "is no part of this work" in refused(*command(galleries / "b.parquet", tmp_path / "out", translators))
    assert contents(tmp_path / "out") == before


def test_another_feature_column_is_refused_on_resume(translators: Path, tmp_path: Path) -> None:
    other = feature_array(features_of_rows(ROWS, seed=1))
    source = write(tmp_path / "in.parquet", face_table(ROWS).append_column("other", other))
    work = command(source, tmp_path / "out", translators, "--target-column", "moved")
    assert run("", *work).exit_code == 0
    (tmp_path / "out" / "in-00001.parquet").unlink()
    before = contents(tmp_path / "out")
    assert "was made of another input_column" in refused(*work, "--feature-column", "other")
    assert contents(tmp_path / "out") == before
    assert run("", *work, "--feature-column", "feature").exit_code == 0  # the one it was begun with
    np.testing.assert_allclose(translated(tmp_path / "out", "moved")[1], eager(features_of_rows(ROWS)), atol=1e-6)


def test_another_translator_is_refused_on_resume(galleries: Path, tmp_path: Path) -> None:
    write_translator(tmp_path / "repository")
    work = command(galleries, tmp_path / "out", tmp_path / "repository")
    assert run("", *work).exit_code == 0
    (tmp_path / "out" / "b-00002.parquet").unlink()
    write_translator(tmp_path / "repository", seed=1)
    assert "was made of another translator" in refused(*work)
    assert not (tmp_path / "out" / "b-00002.parquet").exists()


def test_a_finished_part_that_was_damaged_is_refused(galleries: Path, translators: Path, tmp_path: Path) -> None:
    work = command(galleries, tmp_path / "out", translators)
    assert run("", *work).exit_code == 0
    damaged = tmp_path / "out" / "a-00001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    assert "a-00001.parquet: not a whole Parquet file" in refused(*work)
    whole = pq.read_table(tmp_path / "out" / "a-00000.parquet")
    pq.write_table(whole.slice(1), tmp_path / "out" / "a-00000.parquet")
    assert "a-00000.parquet: does not hold what it should" in refused(*work)


def test_unusable_input_is_refused_before_anything_is_written(translators: Path, tmp_path: Path) -> None:
    features = features_of_rows(ROWS)
    features[200, 1] = np.nan
    good = face_table(ROWS)
    wrong = {
        "column feature, row 200: holds NaN or infinity": replaced(good, "feature", feature_array(features)),
        "column feature: has 16 dimensions, where source-24 has 24": face_table(ROWS, TARGET.dim),
        "column feature: no such column": good.drop(["feature"]),
        "column derived_from: is there already": good.append_column("derived_from", pa.array(["x"] * ROWS)),
    }
    for reason, table in wrong.items():
        source = write(tmp_path / "in.parquet", table)
        assert f"in.parquet, {reason}" in refused(*command(source, tmp_path / "out", translators))
    source = write(tmp_path / "in.parquet", good.append_column(TARGET.id, good.column("feature")))
    line = refused(*command(source, tmp_path / "out", translators, "--target-column", TARGET.id))
    assert f"column {TARGET.id}: is there already" in line
    assert not list(tmp_path.glob("out/*"))


def test_a_route_a_folder_or_weights_that_cannot_be_used_are_refused(
    galleries: Path, translators: Path, tmp_path: Path
) -> None:
    assert "input and output are the same" in refused(*command(galleries, galleries, translators))
    assert "no translator from" in refused(*command(galleries, tmp_path / "out", translators, "--target", SOURCE.id))
    folder = write_translator(tmp_path / "repository")
    (folder / MODEL_FILE).write_bytes(b"other weights")
    line = refused(*command(galleries, tmp_path / "out", tmp_path / "repository"))
    assert "does not have the manifest's sha256" in line
    assert not (tmp_path / "out").exists()
    with held_folder(tmp_path / "held"), pytest.raises(JobError, match="another process works in it"):
        translate_folder(job(galleries, tmp_path / "held", translators), 1)


def test_a_translator_that_does_not_answer_as_it_was_exported_is_refused(galleries: Path, tmp_path: Path) -> None:
    folder = write_translator(tmp_path / "repository")
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    manifest["parity"]["proof"][0] += 0.5
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    assert "other weights are loaded" in refused(*command(galleries, tmp_path / "out", tmp_path / "repository"))
    assert not list((tmp_path / "out").iterdir())
