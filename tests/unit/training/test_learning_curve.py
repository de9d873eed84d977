"""Learning curves: every point judged alike, taken up when there, refused when it cannot be drawn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.manifest import Method
from tests.unit.training.samples import (
    DIVERGING,
    SOURCE,
    TARGET,
    ignore_iteration,
    sample_columns,
    vectors,
    write_pairs,
)
from training.config import FitConfig
from training.contest import Contest
from training.errors import ConfigError, DataError, DivergedError
from training.fit import FACTS_FILE, load
from training.learning_curve import LEARNING_CURVE_FILE, Curve, draw_learning_curve
from training.models.translator import translate
from training.pairs import DISTRACTOR, read_pairs
from training.proof import set_stage
from training.split import split_identities
from training.training_sets import Kind

METHODS = (Method.AFFINE, Method.PROCRUSTES)
KINDS = (Kind.CLEAN, Kind.GAUSSIAN, Kind.DARKER_FACES)
CURVE = Curve((16, 40), KINDS, None, seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("learning-curve")


@pytest.fixture(scope="module")
def contest(folder: Path) -> Contest:
    file = write_pairs(folder / "pairs.parquet", sample_columns(identities=40))
    return Contest(file, SOURCE, TARGET, tuple(FitConfig(method=method) for method in METHODS))


def draw(contest: Contest, out: Path, curve: Curve = CURVE) -> dict[str, Any]:
    return draw_learning_curve(contest, curve, out, lambda _: None, lambda _: ignore_iteration)


@pytest.fixture(scope="module")
def summary(contest: Contest, folder: Path) -> dict[str, Any]:
    return draw(contest, folder / "out")


def test_there_is_a_point_for_each_kind_method_and_number_of_rows(summary: dict[str, Any]) -> None:
    found = [(point["kind"], point["rows"]) for point in summary["points"] if point["method"] == "affine"]
    expected = {"clean": [16, 40, 48, 96], "gaussian": [16, 40, 96], "darker-faces": [48]}
    assert found == [(kind, rows) for kind, counts in expected.items() for rows in counts]
    assert {point["method"] for point in summary["points"]} == set(METHODS)
    for point in summary["points"]:
        assert point["identities"] == point["rows"] // 4
        assert point["rank_1"]["low"] <= point["rank_1"]["value"] <= point["rank_1"]["high"]
        assert point["seconds"] >= 0


def test_a_point_is_the_judgement_of_the_translator_in_its_folder_on_clean_probes(
    summary: dict[str, Any], contest: Contest, folder: Path
) -> None:
    pairs = read_pairs(contest.pairs, [SOURCE, TARGET], folder / "cache")
    stage = set_stage(pairs, split_identities(pairs), SOURCE, TARGET)
    translator = load(folder / "out" / "gaussian" / "40" / "procrustes")[0]
    judged = stage.judge(translate(translator, stage.raw_probes)).model_dump(mode="json")
    (point,) = (
        p for p in summary["points"] if (p["kind"], p["asked"], p["method"]) == ("gaussian", "40", "procrustes")
    )
    assert {key: point[key] for key in judged} == judged


def test_drawn_again_it_takes_up_what_is_there(summary: dict[str, Any], contest: Contest, folder: Path) -> None:
    facts = sorted((folder / "out").rglob(FACTS_FILE))
    assert len(facts) == len(summary["points"])
    before = [fact.stat().st_mtime_ns for fact in facts]
    assert draw(contest, folder / "out") == summary
    assert [fact.stat().st_mtime_ns for fact in facts] == before
    assert json.loads((folder / "out" / LEARNING_CURVE_FILE).read_text()) == summary


def test_a_method_that_diverges_has_no_point_and_is_said(contest: Contest, tmp_path: Path) -> None:
    stages: list[str] = []
    affine = contest.configs[0]
    both = Contest(contest.pairs, SOURCE, TARGET, (DIVERGING, affine))
    curve = Curve((40,), (Kind.CLEAN,), None, seed=0)
    found = draw_learning_curve(both, curve, tmp_path / "out", stages.append, lambda _: ignore_iteration)
    assert [(point["method"], point["rows"]) for point in found["points"]] == [("affine", 40), ("affine", 96)]
    said = [{key: value for key, value in failed.items() if key != "reason"} for failed in found["diverged"]]
    fc = {"kind": "clean", "method": "fc"}
    assert said == [fc | {"asked": "40", "rows": 40}, fc | {"asked": "all", "rows": 96}]
    for failed in found["diverged"]:
        assert "finite" in failed["reason"] or "loss is" in failed["reason"]
        assert f"fc: {failed['reason']}" in stages


def test_a_curve_without_a_point_is_refused(contest: Contest, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"fc \(clean, 40\): .*; fc \(clean, all\): "):
        draw(
            Contest(contest.pairs, SOURCE, TARGET, (DIVERGING,)),
            tmp_path / "out",
            Curve((40,), (Kind.CLEAN,), None, seed=0),
        )
    assert not (tmp_path / "out" / LEARNING_CURVE_FILE).exists()


def test_the_same_pairs_are_no_other_domain(contest: Contest, tmp_path: Path) -> None:
    curve = Curve((), (Kind.OTHER_DOMAIN,), contest.pairs, seed=0)
    with pytest.raises(ConfigError, match="the same pairs"):
        draw(contest, tmp_path / "out", curve)


def other_domain(folder: Path, **changed: pa.Array) -> Path:
    """People who are not among the contest's, in two files of 40 and 24 rows, read by name."""
    folder.mkdir()
    columns = sample_columns(identities=16, seed=1) | {"image_id": image_ids({})} | changed
    pq.write_table(pa.table(columns).slice(0, 40), folder / "a.parquet")
    pq.write_table(pa.table(columns).slice(40), folder / "b.parquet")
    return folder


def image_ids(taken: dict[int, int]) -> pa.Array:
    """Image ids of the other domain, of which some rows have those of rows of the contest's."""
    return pa.array([f"image-{taken[row]}" if row in taken else f"other-{row}" for row in range(64)])


def held_out_row(contest: Contest, cache: Path) -> int:
    pairs = read_pairs(contest.pairs, [SOURCE, TARGET], cache)
    return int(split_identities(pairs).held_out[5])


def with_row(name: str, row: int, contest: Contest, taken: int) -> pa.Array:
    """A column of the other domain whose row is three times one of the contest's."""
    values = sample_columns(identities=16, seed=1)[name].to_pylist()
    values[row] = [3 * entry for entry in pq.read_table(contest.pairs)[name][taken].as_py()]
    return vectors(np.asarray(values))


def draw_other(contest: Contest, other: Path, out: Path) -> dict[str, Any]:
    return draw(contest, out, Curve((), (Kind.OTHER_DOMAIN,), other, seed=0))


def test_other_people_are_another_domain(contest: Contest, tmp_path: Path) -> None:
    found = draw_other(contest, other_domain(tmp_path / "other"), tmp_path / "out")
    assert {(point["kind"], point["rows"]) for point in found["points"]} == {("other-domain", 64), ("clean", 64)}


@pytest.mark.parametrize("name", [SOURCE, TARGET])
@pytest.mark.parametrize(
    ("row", "place"), [(3, r"a\.parquet, column {}, row 3"), (45, r"b\.parquet, column {}, row 5")]
)
def test_an_other_domain_with_a_held_out_vector_is_refused_by_its_row(
    contest: Contest, tmp_path: Path, name: str, row: int, place: str
) -> None:
    column = with_row(name, row, contest, held_out_row(contest, tmp_path / "cache"))
    other = other_domain(tmp_path / "other", **{name: column})
    with pytest.raises(
        DataError, match=place.format(name) + ": same vector up to its length as in a held-out row of .*pairs.parquet"
    ):
        draw_other(contest, other, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*/*")), "nothing was trained"


def test_an_other_domain_with_a_held_out_photo_is_refused_by_its_row(contest: Contest, tmp_path: Path) -> None:
    names = image_ids({45: held_out_row(contest, tmp_path / "cache")})
    place = r"b\.parquet, column image_id, row 5: same image_id as in a held-out row of .*pairs\.parquet"
    with pytest.raises(DataError, match=place):
        draw_other(contest, other_domain(tmp_path / "other", image_id=names), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*/*")), "nothing was trained"


@pytest.mark.parametrize("column", ["image_id", SOURCE])
def test_the_same_pairs_saved_otherwise_are_no_other_domain(contest: Contest, tmp_path: Path, column: str) -> None:
    table = pq.read_table(contest.pairs)
    if column != "image_id":
        table = table.set_column(0, "image_id", pa.array([f"other-{row}" for row in range(len(table))]))
    pq.write_table(table, tmp_path / "again.parquet", compression="gzip")
    with pytest.raises(DataError, match=rf"again\.parquet, column {column}, row \d+: same .* as in a held-out row"):
        draw_other(contest, tmp_path / "again.parquet", tmp_path / "out")


def test_photos_of_training_rows_and_of_untrained_distractors_leak_nobody(contest: Contest, tmp_path: Path) -> None:
    pairs = read_pairs(contest.pairs, [SOURCE, TARGET], tmp_path / "cache")
    split = split_identities(pairs)
    identities = sample_columns(identities=16, seed=1)["identity"].to_numpy().copy()
    identities[7] = DISTRACTOR
    changed = {
        SOURCE: with_row(SOURCE, 7, contest, int(split.held_out[0])),
        TARGET: with_row(TARGET, 2, contest, int(split.training[0])),
        "identity": pa.array(identities, pa.int32()),
        "image_id": image_ids({7: int(split.held_out[0]), 2: int(split.training[0])}),
    }
    found = draw_other(contest, other_domain(tmp_path / "other", **changed), tmp_path / "out")
    assert ("other-domain", 63) in {(point["kind"], point["rows"]) for point in found["points"]}


@pytest.mark.parametrize(
    ("rows", "kinds", "other", "reason"),
    [
        ((1,), (Kind.CLEAN,), None, "at least 2"),
        ((500,), (), None, "no kind"),
        ((500,), (Kind.OTHER_DOMAIN,), None, "darker-faces takes another domain"),
        ((500,), (Kind.CLEAN,), Path("other.parquet"), "go together"),
    ],
)
def test_a_curve_that_cannot_be_drawn_is_refused(
    rows: tuple[int, ...], kinds: tuple[Kind, ...], other: Path | None, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        Curve(rows, kinds, other, seed=0)
