"""A translator's folder and two Parquet files in, a judgement out."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from contract.manifest import MODEL_FILE
from tests.repository import SOURCE, TARGET, RandomLinear, write_translator
from tests.unit.training.samples import vectors
from training.errors import DataError
from training.evaluate import evaluate
from training.identification import judge

SUBJECTS, DISTRACTORS = 40, 30


def faces(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Source and target features [40, d] of one photo per subject: the target is the translation, plus noise."""
    people = np.random.default_rng(99).standard_normal((SUBJECTS + DISTRACTORS, SOURCE.dim))
    source = (people + 0.6 * np.random.default_rng(seed).standard_normal(people.shape)).astype(np.float32)
    return source, RandomLinear(SOURCE.dim, TARGET.dim, 0)(torch.from_numpy(source)).numpy()


def by_hand(
    probes: np.ndarray, names: np.ndarray, gallery: np.ndarray, owners: np.ndarray
) -> dict[str, dict[str, object]]:
    """The judgement as `evaluate` prints it; what is null needs more than 40 searches."""
    judged = judge(probes, names, gallery, owners).model_dump(mode="json")
    return judged | {
        "tar_at_far": judged["tar_at_far"] | {"1e-4": None, "1e-5": None, "1e-6": None},
        "fnir_at_fpir": {"0.01": None, "0.003": None},
    }


def write(file: Path, identities: np.ndarray, **columns: np.ndarray) -> Path:
    named = {name.replace("_", "-"): vectors(features) for name, features in columns.items()}
    pq.write_table(pa.table({"identity": pa.array(identities, pa.int32()), **named}), file)
    return file


def named(file: Path, names: list[str]) -> Path:
    """The file with a column of image ids."""
    pq.write_table(pq.read_table(file).append_column("image_id", pa.array(names)), file)
    return file


@pytest.fixture
def translator(tmp_path: Path) -> Path:
    return write_translator(tmp_path / "repository")


@pytest.fixture
def probes(tmp_path: Path) -> Path:
    source, target = faces(1)
    known = slice(SUBJECTS)
    return write(tmp_path / "probes.parquet", np.arange(SUBJECTS), source_24=source[known], target_16=target[known])


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    source, target = faces(2)
    owners = np.append(np.arange(SUBJECTS), np.full(DISTRACTORS, -1))
    return write(tmp_path / "gallery.parquet", owners, source_24=source, target_16=target)


def test_translated_and_native_probes_are_judged_as_by_hand(translator: Path, probes: Path, gallery: Path) -> None:
    found = evaluate(translator, probes, gallery)
    owners = np.append(np.arange(SUBJECTS), np.full(DISTRACTORS, -1)).astype(np.int32)
    shown, enrolled = faces(1), faces(2)
    names = owners[:SUBJECTS]
    # The translator is the very map that made the target features, so its probes are the native ones.
    by_target = by_hand(shown[1][:SUBJECTS], names, enrolled[1], owners)
    assert found["translated"] == by_target
    assert found["target_native"] == by_target
    assert found["source_native"] == by_hand(shown[0][:SUBJECTS], names, enrolled[0], owners)
    assert 0.2 < found["translated"]["rank_1"]["value"] < found["source_native"]["rank_1"]["value"]
    counts = {key: found[key] for key in ("probes", "gallery", "gallery_subjects", "distractors")}
    assert counts == {"probes": 40, "gallery": 70, "gallery_subjects": 70, "distractors": 30}
    assert (found["translator"], found["version"], found["method"]) == ("source-24--target-16", 1, "affine")


def test_natives_are_null_where_a_file_lacks_the_column(translator: Path, tmp_path: Path) -> None:
    probes = write(tmp_path / "p.parquet", np.arange(SUBJECTS), source_24=faces(1)[0][:SUBJECTS])
    gallery = write(tmp_path / "g.parquet", np.arange(SUBJECTS), target_16=faces(2)[1][:SUBJECTS])
    found = evaluate(translator, probes, gallery)
    assert (found["source_native"], found["target_native"]) == (None, None)
    assert found["translated"]["rank_1"]["value"] > 0.2


def test_a_file_without_the_needed_column_is_named(translator: Path, tmp_path: Path, gallery: Path) -> None:
    wrong = write(tmp_path / "p.parquet", np.arange(SUBJECTS), target_16=faces(1)[1][:SUBJECTS])
    with pytest.raises(DataError, match=r"p\.parquet, column source-24: no such feature space"):
        evaluate(translator, wrong, gallery)


@pytest.mark.parametrize("name", ["identity", "source-24", "target-16"])
def test_two_columns_of_one_name_are_refused_by_it(translator: Path, probes: Path, gallery: Path, name: str) -> None:
    table = pq.read_table(probes)
    pq.write_table(table.append_column(name, table[name]), probes)
    with pytest.raises(DataError, match=rf"probes\.parquet, column {name}: occurs 2 times"):
        evaluate(translator, probes, gallery)


def test_another_dimension_is_named(translator: Path, tmp_path: Path, gallery: Path) -> None:
    wrong = write(tmp_path / "p.parquet", np.arange(SUBJECTS), source_24=faces(1)[0][:SUBJECTS, :23])
    with pytest.raises(DataError, match="column source-24: dimension 23, the translator has 24"):
        evaluate(translator, wrong, gallery)


def test_a_row_that_is_no_feature_is_named(translator: Path, tmp_path: Path, gallery: Path) -> None:
    source = faces(1)[0][:SUBJECTS].copy()
    source[7, 3] = np.nan
    wrong = write(tmp_path / "p.parquet", np.arange(SUBJECTS), source_24=source)
    with pytest.raises(DataError, match=r"p\.parquet, column source-24, row 7: holds NaN"):
        evaluate(translator, wrong, gallery)


def test_a_repeated_row_is_named(translator: Path, probes: Path, gallery: Path) -> None:
    named(gallery, [f"image-{row - (row == 9)}" for row in range(SUBJECTS + DISTRACTORS)])
    with pytest.raises(DataError, match=r"gallery\.parquet, column image_id, row 9: image_id occurs before"):
        evaluate(translator, probes, gallery)


def test_one_vector_of_two_subjects_is_named(translator: Path, tmp_path: Path, probes: Path) -> None:
    target = faces(2)[1][:SUBJECTS].copy()
    target[9] = target[4]
    wrong = write(tmp_path / "g.parquet", np.arange(SUBJECTS), target_16=target)
    with pytest.raises(
        DataError, match=r"g\.parquet, column target-16, row 9: same vector up to its length as in a row before"
    ):
        evaluate(translator, probes, wrong)


@pytest.mark.parametrize(("space", "number"), [("source-24", 0), ("target-16", 1)])
def test_a_probe_that_is_enrolled_itself_is_named(
    translator: Path, tmp_path: Path, probes: Path, space: str, number: int
) -> None:
    enrolled = [features.copy() for features in faces(2)]
    enrolled[number][60] = faces(1)[number][7]
    owners = np.append(np.arange(SUBJECTS), np.full(DISTRACTORS, -1))
    wrong = write(tmp_path / "g.parquet", owners, source_24=enrolled[0], target_16=enrolled[1])
    with pytest.raises(
        DataError,
        match=rf"probes\.parquet, column {space}, row 7: same vector up to its length as in a row of .*g\.parquet",
    ):
        evaluate(translator, probes, wrong)


def test_a_photo_of_both_files_is_named_though_they_have_no_space_in_common(translator: Path, tmp_path: Path) -> None:
    probes = write(tmp_path / "p.parquet", np.arange(SUBJECTS), source_24=faces(1)[0][:SUBJECTS])
    gallery = write(tmp_path / "g.parquet", np.arange(SUBJECTS), target_16=faces(2)[1][:SUBJECTS])
    named(probes, [f"shown-{row}" for row in range(SUBJECTS)])
    named(gallery, ["shown-7" if row == 30 else f"enrolled-{row}" for row in range(SUBJECTS)])
    with pytest.raises(
        DataError, match=r"p\.parquet, column image_id, row 7: same image_id as in a row of .*g\.parquet"
    ):
        evaluate(translator, probes, gallery)


def test_image_ids_of_one_file_alone_are_compared_with_nothing(translator: Path, probes: Path, gallery: Path) -> None:
    found = evaluate(translator, probes, gallery)
    assert evaluate(translator, named(probes, [f"image-{row}" for row in range(SUBJECTS)]), gallery) == found


def test_a_probe_that_is_enrolled_itself_is_named_in_its_own_file(
    translator: Path, tmp_path: Path, probes: Path, gallery: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    table = pq.read_table(probes)
    pq.write_table(table.slice(0, 25), folder / "a.parquet")
    pq.write_table(pa.concat_tables([table.slice(25), pq.read_table(gallery).slice(3, 1)]), folder / "b.parquet")
    with pytest.raises(
        DataError, match=r"b\.parquet, column source-24, row 15: same vector up to its length as in a row of .*gallery"
    ):
        evaluate(translator, folder, gallery)


def test_files_of_different_people_are_refused(translator: Path, tmp_path: Path, gallery: Path) -> None:
    strangers = write(tmp_path / "p.parquet", np.arange(100, 100 + SUBJECTS), source_24=faces(1)[0][:SUBJECTS])
    with pytest.raises(DataError, match=r"p\.parquet, column identity: no identity of it is in .*gallery\.parquet"):
        evaluate(translator, strangers, gallery)


def test_a_gallery_of_one_subject_is_refused(translator: Path, tmp_path: Path, probes: Path) -> None:
    lone = write(tmp_path / "g.parquet", np.zeros(3), target_16=faces(2)[1][:3])
    with pytest.raises(DataError, match=r"g\.parquet, column identity: holds one subject only"):
        evaluate(translator, probes, lone)


def test_one_subject_among_distractors_is_judged(translator: Path, tmp_path: Path, probes: Path) -> None:
    watched = write(tmp_path / "g.parquet", np.asarray([7, -1, -1, -1]), target_16=faces(2)[1][7:11])
    found = evaluate(translator, probes, watched)
    assert (found["gallery_subjects"], found["distractors"]) == (4, 3)


def test_a_folder_of_files_is_one_gallery(translator: Path, tmp_path: Path, probes: Path, gallery: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    table = pq.read_table(gallery)
    pq.write_table(table.slice(0, 25), folder / "a.parquet")
    pq.write_table(table.slice(25), folder / "b.parquet")
    assert evaluate(translator, probes, folder) == evaluate(translator, probes, gallery)


def test_an_empty_file_is_named(translator: Path, tmp_path: Path, gallery: Path) -> None:
    empty = write(tmp_path / "p.parquet", np.arange(0), source_24=faces(1)[0][:0])
    with pytest.raises(DataError, match="holds no rows"):
        evaluate(translator, empty, gallery)


def test_a_missing_file_is_named(translator: Path, tmp_path: Path, gallery: Path) -> None:
    with pytest.raises(DataError, match="missing"):
        evaluate(translator, tmp_path / "missing.parquet", gallery)


def test_a_full_disk_is_refused_and_leaves_nothing_behind(
    translator: Path, probes: Path, gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(DataError, match=rf"^{scratch}/.*: no room for 3840 bytes: No space left on device$"):
        evaluate(translator, probes, gallery)
    assert not list(scratch.iterdir())


KILLED_WHILE_READING = """
import os, sys
from pathlib import Path
from training import columns
from training.evaluate import evaluate
read = columns.identities
columns.identities = lambda part: read(part) if part.file.name != "gallery.parquet" else os.kill(os.getpid(), 9)
evaluate(*map(Path, sys.argv[1:]))
"""


def test_a_kill_leaves_no_feature_on_the_disk(translator: Path, probes: Path, gallery: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-c", KILLED_WHILE_READING, *map(str, (translator, probes, gallery))]
    done = subprocess.run(command, check=False, env=os.environ | {"TMPDIR": str(scratch)}, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert not list(scratch.iterdir())


def test_a_tampered_translator_is_not_judged(translator: Path, probes: Path, gallery: Path) -> None:
    with (translator / MODEL_FILE).open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match="does not have the manifest's sha256"):
        evaluate(translator, probes, gallery)


def test_a_translator_that_answers_with_no_features_is_named(tmp_path: Path, probes: Path, gallery: Path) -> None:
    zero = RandomLinear(SOURCE.dim, TARGET.dim, 0)
    zero.register_buffer("matrix", torch.zeros(SOURCE.dim, TARGET.dim))
    with pytest.raises(DataError, match=r"model\.pt: cannot translate: .*zero vector"):
        evaluate(write_translator(tmp_path / "zero", module=zero), probes, gallery)
