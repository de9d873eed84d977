"""Paired features of a small world, written for real."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import simplejpeg

from training import synthesize as synthesize_module
from training import synthetic_faces as world
from training.encoders.train import EncoderKind
from training.errors import DataError
from training.pairs import feature_spaces, read_pairs
from training.synthesize import SPACES, synthesize

SMALL = dict.fromkeys(EncoderKind, 2)


@pytest.fixture(autouse=True)
def few_encoder_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesize_module, "ENCODER_PEOPLE", 10)
    monkeypatch.setattr(synthesize_module, "ENCODER_PHOTOS", 80)
    monkeypatch.setattr(synthesize_module, "ROW_GROUP_ROWS", 16)


def test_the_file_is_paired_features(tmp_path: Path) -> None:
    file = tmp_path / "new" / "pairs.parquet"
    summary = synthesize(file, identities=9, faces_per_identity=3, seed=1, iterations=SMALL)
    pairs = read_pairs(file, list(SPACES), tmp_path / "cache", images=True)
    assert pairs.identities.tolist() == np.repeat(np.arange(9), 3).tolist()
    assert [pairs.features[space].shape for space in SPACES] == [(27, 256), (27, 256)]
    assert feature_spaces(file) == list(SPACES)
    table = pq.read_table(file)
    assert len(set(table["image_id"].to_pylist())) == 27
    assert pq.ParquetFile(file).num_row_groups == 2
    assert json.loads(json.dumps(summary)) == summary
    assert (summary["identities"], summary["faces"], summary["spaces"]) == (9, 27, list(SPACES))


def test_images_show_the_people_the_encoders_never_saw(tmp_path: Path) -> None:
    file = tmp_path / "pairs.parquet"
    synthesize(file, identities=6, faces_per_identity=4, seed=3, iterations=SMALL)
    image = simplejpeg.decode_jpeg(pq.read_table(file)["image"][9].as_py())  # the second photo of the third person
    person = world.identities(1, 3, first=10 + 2)
    painted = world.render(person, world.nuisances(1, 3, first=80 + 9))[0]
    assert image.shape == painted.shape
    assert np.abs(image.astype(int) - painted).mean() < 8  # JPEG keeps colours at half the resolution


def test_the_two_spaces_have_nothing_in_common(tmp_path: Path) -> None:
    file = tmp_path / "pairs.parquet"
    synthesize(file, identities=20, faces_per_identity=4, seed=1, iterations=SMALL)
    pairs = read_pairs(file, list(SPACES), tmp_path / "cache")
    one, other = (f / np.linalg.norm(f, axis=1, keepdims=True) for f in (np.asarray(pairs.features[s]) for s in SPACES))
    assert abs(float((one * other).sum(axis=1).mean())) < 0.2


def test_the_same_seed_writes_the_same_and_another_does_not(tmp_path: Path) -> None:
    tables = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthesize(tmp_path / name, identities=5, faces_per_identity=2, seed=seed, iterations=SMALL)
        tables.append(pq.read_table(tmp_path / name))
    assert tables[0].equals(tables[1])
    assert not tables[0]["image"].equals(tables[2]["image"])
    assert not tables[0][SPACES[0]].equals(tables[2][SPACES[0]])


@pytest.mark.parametrize("when", ["painting faces", f"training {SPACES[1]}", "writing paired features"])
def test_an_interruption_leaves_the_folder_as_it_was(tmp_path: Path, when: str) -> None:
    file = tmp_path / "pairs.parquet"
    file.write_bytes(b"what was there")

    def interrupt(what: str, done: int, total: int) -> None:
        assert 0 < done <= total
        if what == when:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(file, identities=40, faces_per_identity=2, seed=0, iterations=SMALL, on_progress=interrupt)
    assert [entry.name for entry in tmp_path.iterdir()] == ["pairs.parquet"]
    assert file.read_bytes() == b"what was there"


def test_progress_ends_at_its_totals(tmp_path: Path) -> None:
    last: dict[str, tuple[int, int]] = {}

    def remember(what: str, done: int, total: int) -> None:
        last[what] = (done, total)

    file = tmp_path / "pairs.parquet"
    synthesize(file, identities=9, faces_per_identity=3, seed=0, iterations=SMALL, on_progress=remember)
    assert last == {
        "painting faces": (80, 80),
        f"training {SPACES[0]}": (2, 2),
        f"training {SPACES[1]}": (2, 2),
        "writing paired features": (27, 27),
    }


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    for place in (tmp_path / "file" / "pairs.parquet", tmp_path):
        with pytest.raises(DataError, match="cannot be written"):
            synthesize(place, identities=4, faces_per_identity=2, seed=0, iterations=SMALL)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file"]
