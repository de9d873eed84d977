"""Galleries in and out as Parquet, through a real gateway: embedded, and with a real Triton and a real Redis."""

from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.vectors import l2_normalize
from deploy.gateway import GatewayServer
from service.bulk.parquet import feature_array, features_of
from service.bulk.parts import OWNER_ONLY
from tests.integration.bulk import exported_faces, faces_of, refusal, run
from tests.integration.galleries import created_gallery
from tests.integration.stack import OTHER_SOURCE
from tests.parquet import export_of, face_table, features_of_rows, replaced, training_table, write
from tests.repository import SOURCE, TARGET

STORED_TOLERANCE = 1e-3  # Redis keeps originals in half precision
ROWS = 200  # of files; the gateway takes 64 at a time


@pytest.fixture
def url(gateway: GatewayServer) -> str:
    return gateway.url


def fates_of(report: Path) -> list[str]:
    fates: list[str] = pq.read_table(report).column("fate").to_pylist()
    return fates


def test_what_was_imported_is_exported_again(client: httpx.Client, url: str, tmp_path: Path) -> None:
    file = write(tmp_path / "in" / "a.parquet", face_table(ROWS))
    with created_gallery(client, SOURCE) as gallery:
        options = ("--source-model", SOURCE.id, "--report", tmp_path / "fates.csv")
        imported = run(url, "gallery", "import", gallery, file, *options)
        assert imported.exit_code == 0, imported.output
        assert run(url, "gallery", "export", gallery, tmp_path / "out").exit_code == 0
    made = [tmp_path / "fates.csv", *(path for path in (tmp_path / "out").rglob("*") if path.is_file())]
    assert [path.stat().st_mode & 0o777 for path in made] == [OWNER_ONLY] * 3
    (table,) = exported_faces(tmp_path / "out").values()
    assert table.drop(["feature"]) == face_table(ROWS).drop(["feature"])
    np.testing.assert_allclose(
        features_of(table.column("feature").combine_chunks()),
        l2_normalize(features_of_rows(ROWS)),
        atol=STORED_TOLERANCE,
    )


def test_what_is_kept_with_subjects_moves_with_a_gallery(client: httpx.Client, url: str, tmp_path: Path) -> None:
    file, state = write(tmp_path / "in.parquet", face_table(ROWS)), ("--state", tmp_path / "s")
    said = {"name": "X", "long": "x" * 4000}
    with created_gallery(client, SOURCE) as first, created_gallery(client, SOURCE) as second:
        assert run(url, "gallery", "import", first, file, "--source-model", SOURCE.id, *state).exit_code == 0
        subjects = f"/galleries/{first}/subjects"
        assert client.get(f"{subjects}/subject-00003").json()["metadata"] == {"case": 3}
        client.put(f"{subjects}/subject-00000", json={"metadata": said}).raise_for_status()
        assert run(url, "gallery", "export", first, tmp_path / "out").exit_code == 0
        assert run(url, "gallery", "import", second, tmp_path / "out", *state).exit_code == 0
        for number in range(ROWS // 2):
            kept = client.get(f"/galleries/{second}/subjects/subject-{number:05d}").json()["metadata"]
            assert kept == (said if number == 0 else {"case": number} if number % 2 else {})


def test_an_export_without_what_is_kept_with_subjects_leaves_it_as_it_is(
    client: httpx.Client, url: str, tmp_path: Path
) -> None:
    old = export_of(tmp_path / "old", {SOURCE.id: face_table(20).drop(["subject_metadata"])})
    new = export_of(tmp_path / "new", {SOURCE.id: face_table(20)})
    with created_gallery(client, SOURCE) as gallery:
        for export in (old, new, old):
            assert run(url, "gallery", "import", gallery, export, "--state", tmp_path / "s").exit_code == 0
        assert client.get(f"/galleries/{gallery}/subjects/subject-00003").json()["metadata"] == {"case": 3}


def test_a_gallery_of_two_origins_moves_whole(client: httpx.Client, url: str, tmp_path: Path) -> None:
    native = write(tmp_path / "native.parquet", face_table(70, TARGET.dim, first=ROWS))
    foreign = write(tmp_path / "foreign.parquet", face_table(ROWS))
    state = ("--state", tmp_path / "s")
    with created_gallery(client, TARGET) as first, created_gallery(client, TARGET) as second:
        for file, space in ((native, TARGET), (foreign, SOURCE)):
            assert run(url, "gallery", "import", first, file, "--source-model", space.id, *state).exit_code == 0
        assert run(url, "gallery", "export", first, tmp_path / "one").exit_code == 0
        moved = run(url, "gallery", "import", second, tmp_path / "one", *state)
        assert moved.exit_code == 0, moved.output
        assert run(url, "gallery", "export", second, tmp_path / "two").exit_code == 0
        line = refusal(run(url, "gallery", "import", second, tmp_path / "one", "--source-model", SOURCE.id, *state))
        assert f"export.json: holds 70 faces of {TARGET.id} too" in line
    one, two = exported_faces(tmp_path / "one"), exported_faces(tmp_path / "two")
    assert {space: table.num_rows for space, table in one.items()} == {SOURCE.id: ROWS, TARGET.id: 70}
    for space, table in one.items():
        assert table.drop(["feature"]) == two[space].drop(["feature"])
        before, after = (features_of(t.column("feature").combine_chunks()) for t in (table, two[space]))
        np.testing.assert_allclose(before, after, atol=STORED_TOLERANCE)


def test_training_data_is_imported_by_the_column_of_its_space(client: httpx.Client, url: str, tmp_path: Path) -> None:
    file = write(tmp_path / "pairs.parquet", training_table(30, SOURCE.id, SOURCE.dim))
    with created_gallery(client, TARGET) as gallery:
        result = run(url, "gallery", "import", gallery, file, "--source-model", SOURCE.id, "--state", tmp_path / "s")
        assert result.exit_code == 0, result.output
        description = client.get(f"/galleries/{gallery}").json()
        assert (description["faces"], description["subjects"]) == (30, 15)
        assert client.get(f"/galleries/{gallery}/faces/image-00003").json()["subject"] == "1"


def test_importing_again_replaces_and_of_one_face_the_last_row_wins(
    client: httpx.Client, url: str, tmp_path: Path
) -> None:
    subjects = pa.array([f"person-{n}" for n in range(ROWS)])
    face_ids = pa.array([f"face-{n % 90}" for n in range(ROWS)])
    table = replaced(replaced(face_table(ROWS), "subject", subjects), "face_id", face_ids)
    file = write(tmp_path / "a.parquet", table)
    with created_gallery(client, SOURCE) as gallery:
        for report, expected in (("one", ["new"] * 90 + ["replaced"] * 110), ("two", ["replaced"] * ROWS)):
            options = ("--source-model", SOURCE.id, "--report", tmp_path / f"{report}.parquet", "--batch-rows", 45)
            assert run(url, "gallery", "import", gallery, file, *options).exit_code == 0
            assert fates_of(tmp_path / f"{report}.parquet") == expected
        assert faces_of(client, gallery) == 90
        assert client.get(f"/galleries/{gallery}/faces/face-7").json()["subject"] == "person-187"
    assert {f.name for f in tmp_path.iterdir()} == {"a.parquet", "one.parquet", "two.parquet"}


def test_new_and_replaced_rows_of_one_batch_are_told_apart(client: httpx.Client, url: str, tmp_path: Path) -> None:
    known = write(tmp_path / "known.parquet", face_table(30))
    mixed = write(tmp_path / "mixed.parquet", face_table(40, first=20))
    options = ("--source-model", SOURCE.id, "--batch-rows", 20, "--report", tmp_path / "fates.parquet")
    with created_gallery(client, SOURCE) as gallery:
        assert run(url, "gallery", "import", gallery, known, *options[:4], "--state", tmp_path / "s").exit_code == 0
        result = run(url, "gallery", "import", gallery, mixed, *options)
        assert fates_of(tmp_path / "fates.parquet") == ["replaced"] * 10 + ["new"] * 30
        assert [n for n in result.stdout.split() if n.isdecimal()][:4] == ["40", "30", "10", "0"]


def test_only_bad_rows_are_refused_each_with_its_reason(client: httpx.Client, url: str, tmp_path: Path) -> None:
    face_ids = [f"face-{n}" for n in range(ROWS)]
    face_ids[0], face_ids[63], face_ids[64] = "with space", "", "x" * 200
    metadata = ["{}"] * ROWS
    metadata[100:105] = ["{", "[]", "null", "", '{"a":' * 300 + "1" + "}" * 300]
    metadata[150] = f'{{"long":"{"x" * 2000}"}}'
    tags: list[list[str]] = [[] for _ in range(ROWS)]
    tags[199] = [f"tag-{n}" for n in range(100)]
    table = replaced(face_table(ROWS), "face_id", pa.array(face_ids))
    table = replaced(table, "metadata", pa.array(metadata))
    file = write(tmp_path / "a.parquet", replaced(table, "tags", pa.array(tags, pa.list_(pa.string()))))
    with created_gallery(client, SOURCE) as gallery:
        report = tmp_path / "fates.parquet"
        result = run(url, "gallery", "import", gallery, file, "--source-model", SOURCE.id, "--report", report)
        assert result.exit_code == 1, result.output
        assert "refused: malformed: 10 rows" in result.stdout
        bad = {0, 63, 64, *range(100, 105), 150, 199}
        assert fates_of(report) == ["refused: malformed" if n in bad else "new" for n in range(ROWS)]
        assert faces_of(client, gallery) == ROWS - len(bad)


def test_batches_that_are_too_large_after_all_are_cut(client: httpx.Client, url: str, tmp_path: Path) -> None:
    metadata = pa.array([f'{{"note":"{"x" * 1000}"}}'] * ROWS)
    file = write(tmp_path / "a.parquet", replaced(face_table(ROWS), "metadata", metadata))
    with created_gallery(client, SOURCE) as gallery:
        result = run(url, "gallery", "import", gallery, file, "--source-model", SOURCE.id, "--state", tmp_path / "s")
        assert result.exit_code == 0, result.output
        assert faces_of(client, gallery) == ROWS


def test_a_file_of_bad_rows_only_ends_at_the_bound(client: httpx.Client, url: str, tmp_path: Path) -> None:
    table = replaced(face_table(ROWS), "face_id", pa.array([f"bad {n}" for n in range(ROWS)]))
    file = write(tmp_path / "a.parquet", table)
    options = ("--source-model", SOURCE.id, "--state", tmp_path / "s")
    with created_gallery(client, SOURCE) as gallery:
        result = run(url, "gallery", "import", gallery, file, *options, "--refused-max", 100)
        assert "more than 100 rows were refused" in refusal(result)
        result = run(url, "gallery", "import", gallery, file, *options)
        assert result.exit_code == 1
        assert f"refused: malformed: {ROWS} rows" in result.stdout
        assert faces_of(client, gallery) == 0


def with_nan(rows: int, row: int) -> pa.Table:
    features = features_of_rows(rows)
    features[row, 5] = np.nan
    return replaced(face_table(rows), "feature", feature_array(features))


def test_an_unusable_file_is_refused_before_anything_is_sent(client: httpx.Client, url: str, tmp_path: Path) -> None:
    wrong = {
        "a row with NaN": (with_nan(ROWS, 150), "column feature, row 150: holds NaN or infinity"),
        "another dimension": (face_table(ROWS, 12), "column feature: has 12 dimensions, where source-24 has 24"),
        "translations": (
            face_table(ROWS).append_column("derived_from", pa.array(["x"] * ROWS)),
            "column derived_from: holds translations",
        ),
        "a missing face_id": (
            replaced(face_table(ROWS), "face_id", pa.array([None if n == 150 else f"face-{n}" for n in range(ROWS)])),
            "column face_id, row 150: missing value",
        ),
        "a missing subject": (
            replaced(face_table(ROWS), "subject", pa.array([None if n == 150 else "same" for n in range(ROWS)])),
            "column subject, row 150: missing value",
        ),
        "no subjects": (face_table(ROWS).drop(["subject"]), "column subject: no such column"),
        "unequal lengths": (
            replaced(face_table(3), "feature", pa.array([[1.0] * 24, [1.0] * 24, [1.0] * 23], pa.list_(pa.float32()))),
            "column feature, row 2: holds 23 numbers, not 24",
        ),
    }
    with created_gallery(client, SOURCE) as gallery:
        for name, (table, reason) in wrong.items():
            folder = tmp_path / name
            write(folder / "a.parquet", face_table(ROWS))
            write(folder / "b.parquet", table)
            line = refusal(run(url, "gallery", "import", gallery, folder, "--source-model", SOURCE.id))
            assert f"b.parquet, {reason}" in line
        (folder / "b.parquet").write_bytes((folder / "a.parquet").read_bytes()[:5000])
        line = refusal(run(url, "gallery", "import", gallery, folder, "--source-model", SOURCE.id))
        assert "b.parquet: not a whole Parquet file" in line
        assert faces_of(client, gallery) == 0


@pytest.mark.parametrize("column", ["subject", "metadata"])
def test_a_page_that_is_damaged_in_any_column_is_found_before_anything_is_sent(
    client: httpx.Client, url: str, tmp_path: Path, column: str
) -> None:
    file, texts = tmp_path / "a.parquet", pa.array([f'{{"{column}":{n}}}' for n in range(ROWS)])
    table = replaced(face_table(ROWS), column, texts)
    pq.write_table(table, file, row_group_size=50, use_dictionary=False, compression="none", write_statistics=False)
    content = bytearray(file.read_bytes())
    place = content.index(f'{{"{column}":170}}'.encode())
    content[place - 4 : place] = b"\xff\xff\xff\x7f"  # its length
    file.write_bytes(content)
    with created_gallery(client, SOURCE) as gallery:
        line = refusal(run(url, "gallery", "import", gallery, file, "--source-model", SOURCE.id))
        assert "cannot be read on (truncated or damaged)" in line
        assert faces_of(client, gallery) == 0


def test_the_wrong_space_is_refused_before_anything_is_sent(client: httpx.Client, url: str, tmp_path: Path) -> None:
    file = write(tmp_path / "in" / "a.parquet", face_table(30))
    pairs = write(tmp_path / "pairs.parquet", training_table(30, TARGET.id, TARGET.dim))
    state = ("--state", tmp_path / "s")
    with created_gallery(client, TARGET) as gallery:
        assert run(url, "gallery", "import", gallery, file, "--source-model", SOURCE.id, *state).exit_code == 0
        assert run(url, "gallery", "export", gallery, tmp_path / "out").exit_code == 0
        refused = {
            ("import", gallery, tmp_path / "out", "--source-model", TARGET.id): "export.json: holds features of source",
            ("import", gallery, tmp_path / "out" / SOURCE.id, "--source-model", TARGET.id): "not of target-16",
            ("import", gallery, file): "does not say its feature space",
            ("import", gallery, file, "--source-model", OTHER_SOURCE.id): "no route from source-12",
            ("import", gallery, file, "--source-model", "nobody"): "no route from nobody",
            ("import", "nowhere", file, "--source-model", SOURCE.id): "404 unknown-gallery",
            (
                "import",
                gallery,
                pairs,
                "--source-model",
                SOURCE.id,
                "--feature-column",
                TARGET.id,
            ): "features of target-16",
            ("export", "nowhere", tmp_path / "new"): "404 unknown-gallery",
        }
        for arguments, reason in refused.items():
            assert reason in refusal(run(url, "gallery", *arguments))
        assert faces_of(client, gallery) == 30
    assert not (tmp_path / "new").exists()
