"""Training curves: of what diverged too, and without those whose losses are gone, which is said."""

import json
from pathlib import Path

import pytest

from contract.manifest import Method
from tests.unit.training.report.samples import make_run
from tests.unit.training.samples import SOURCE, TARGET, ignore_iteration, sample_columns, write_pairs
from training.bakeoff import PROMOTED, Outcome, run_bakeoff
from training.config import FitConfig, load_config
from training.contest import Contest
from training.fit import FACTS_FILE
from training.history import HISTORY_FILE
from training.report.losses import section
from training.report.material import Material
from training.report.run import read_run
from training.run_folder import RUNS

WHOLE = json.dumps({"points": [{"iteration": i, "losses": {"loss": 1 / i}} for i in (1, 2)]})
SHORT = FitConfig(method=Method.FC, iterations=4, batch_rows=8)
DIVERGING = FitConfig(method=Method.FC, iterations=40, batch_rows=8, optimizer="sgd", learning_rate=10.0, momentum=0.99)


def keep_history(folder: Path, method: str, content: str = WHOLE) -> Path:
    """Put a history where a bake-off keeps it."""
    file = folder / RUNS / method / HISTORY_FILE
    file.parent.mkdir(parents=True)
    file.write_text(content)
    return file


def hold(folder: Path, *configs: FitConfig) -> Outcome:
    """Run a small bake-off in a folder, or run it again."""
    pairs = folder / "pairs.parquet"
    if not pairs.exists():
        write_pairs(pairs, sample_columns(identities=24))
    contest = Contest(pairs, SOURCE, TARGET, configs)
    return run_bakeoff(contest, folder / "out", folder / PROMOTED, lambda _: None, lambda _: ignore_iteration)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "is no JSON file"),
        ("[" * 100_000, "is no JSON file"),
        ("[]", "is no JSON object"),
        ('{"points": []}', "points: "),
        ('{"points": [{"iteration": 1, "losses": {}}]}', "points.0.losses: "),
        ('{"points": [{"iteration": 1, "losses": {"loss": NaN}}]}', "points.0.losses.loss: "),
    ],
)
def test_a_damaged_history_leaves_out_its_curve_alone_and_is_named(tmp_path: Path, content: str, why: str) -> None:
    file = keep_history(tmp_path, "residual", content)
    keep_history(tmp_path, "affine")
    curves = section(Material(make_run(tmp_path), None))
    (picture,) = curves.pictures
    assert picture.alt == "Losses. affine, loss: from 1 to 0.5."
    (note,) = curves.notes
    assert note.startswith(f"The curve of residual is left out: {file}: {why}")


def test_a_missing_history_is_named_for_a_method_that_has_losses_and_for_no_closed_form(tmp_path: Path) -> None:
    curves = section(Material(make_run(tmp_path), None))
    (note,) = curves.notes
    assert note.startswith(f"The curve of residual is left out: {tmp_path / RUNS / 'residual' / HISTORY_FILE}: no such")
    assert curves.absent


def test_a_history_that_is_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / RUNS / "residual" / HISTORY_FILE).mkdir(parents=True)
    (note,) = section(Material(make_run(tmp_path), None)).notes
    assert "history.json: cannot be read" in note


def test_a_damaged_history_stops_no_bakeoff_and_comes_back_as_the_page_says(tmp_path: Path) -> None:
    run = tmp_path / "out" / RUNS / "fc"
    hold(tmp_path, SHORT)
    whole = (run / HISTORY_FILE).read_text()
    (run / HISTORY_FILE).write_text("{")
    page = hold(tmp_path, SHORT).report.read_text()
    assert "The curve of fc is left out" in page
    assert f"Delete {run / FACTS_FILE} and run the bake-off again" in page
    (run / FACTS_FILE).unlink()
    assert "is left out" not in hold(tmp_path, SHORT).report.read_text()
    assert (run / HISTORY_FILE).read_text() == whole


def test_a_training_that_diverged_shows_its_curve_and_that_it_did(tmp_path: Path) -> None:
    keep_history(tmp_path, "fc")
    curves = section(Material(make_run(tmp_path, diverged={"fc": "loss is nan at iteration 3"}), None))
    assert curves.pictures[0].alt == "Losses. fc, not converged, loss: from 1 to 0.5."


def test_a_training_that_diverged_at_once_is_no_loss_but_a_damaged_history_of_it_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, diverged={"fc": "loss is nan at iteration 1"})
    assert "fc" not in run.lost_histories
    keep_history(tmp_path, "fc", "{")
    notes = section(Material(read_run(tmp_path), None)).notes
    assert any("The curve of fc is left out" in note and "Run the bake-off again" in note for note in notes)


def test_the_bakeoff_of_a_training_that_diverged_draws_it(tmp_path: Path) -> None:
    page = hold(tmp_path, DIVERGING, load_config(Method.AFFINE)).report.read_text()
    assert "Losses. fc, not converged, " in page
    assert "is left out" not in page
