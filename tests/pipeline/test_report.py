"""`r3an report` over the small bake-off."""

import json
from pathlib import Path

import pytest

from tests.pipeline.conftest import SOURCE, TARGET, Bakeoff, assert_refused, r3an, write_pairs

ALWAYS = {"overview", "cmc", "det", "scores", "plane", "calibration", "abstention", "losses"}


@pytest.fixture(scope="module")
def learning_curve(bakeoff: Bakeoff, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that `r3an learning-curve` writes, with as much as a report reads."""
    summary = json.loads((bakeoff.out / "bakeoff.json").read_text())
    data = {"data_fingerprint": summary["training"][summary["winner"]]["data_fingerprint"]}
    interval = {"value": 0.5, "low": 0.4, "high": 0.6}
    point = {"kind": "clean", "method": "affine", "identities": 9, "rank_1": interval, "tar_at_far": {}, "seconds": 0.1}
    points = [point | {"rows": rows} for rows in (10, 20)]
    file = tmp_path_factory.mktemp("curve") / "learning_curve.json"
    file.write_text(json.dumps(data | {"source": SOURCE, "target": TARGET, "points": points}))
    return file


def test_a_report_is_one_page_and_a_picture_for_each_figure(
    bakeoff: Bakeoff, learning_curve: Path, tmp_path: Path
) -> None:
    done = r3an(
        *("report", "--run", str(bakeoff.out), "--pairs", str(bakeoff.pairs), "--out", str(tmp_path / "report")),
        *("--learning-curve", str(learning_curve), "--json"),
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    figures = {Path(figure).stem for figure in printed["figures"]}
    assert figures == ALWAYS | {"paintings", "learning"}
    written = {path.name for path in (tmp_path / "report").iterdir() if not path.name.startswith(".")}
    assert written == {"report.html", *(f"{figure}.png" for figure in figures)}
    html = Path(printed["report"]).read_text()
    assert html.count("data:image/png;base64,") == len(figures)
    assert "template-inversion attack" in html
    assert "image-" not in html, "no face is named"


def test_the_bakeoffs_own_page_has_all_but_the_faces(bakeoff: Bakeoff) -> None:
    html = Path(bakeoff.printed["report"]).read_text()
    assert html.count("data:image/png;base64,") == len(ALWAYS)
    assert f"r3an report --run {bakeoff.out} --pairs FILE" in html


def test_other_pairs_than_the_runs_are_refused_and_nothing_is_written(bakeoff: Bakeoff, tmp_path: Path) -> None:
    other = write_pairs(tmp_path / "other.parquet", seed=1)
    done = r3an("report", "--run", str(bakeoff.out), "--pairs", str(other), "--out", str(tmp_path / "report"))
    assert_refused(done, "other.parquet", "not the data")
    assert not list((tmp_path / "report").glob("*.*ml"))


def test_a_learning_curve_of_other_pairs_is_refused(bakeoff: Bakeoff, learning_curve: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps(json.loads(learning_curve.read_text()) | {"data_fingerprint": "0" * 64}))
    run = ("--run", str(bakeoff.out), "--pairs", str(bakeoff.pairs), "--out", str(tmp_path / "report"))
    assert_refused(
        r3an("report", *run, "--learning-curve", str(other)), "other.json", "other data than", "bakeoff.json"
    )
    assert not (tmp_path / "report").exists()
