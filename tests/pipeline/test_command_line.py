"""`r3an` as a person or a script uses it: exit codes, JSON, one-line errors, resumption."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from contract.manifest import read_manifest
from tests.pipeline.conftest import SOURCE, TARGET, Bakeoff, assert_refused, r3an, write_pairs

METHODS = ("r3an", "fc", "affine", "procrustes")
INTERVALS = ("value", "low", "high")


def test_a_bakeoff_judges_every_method_beside_both_natives_and_chance(bakeoff: Bakeoff) -> None:
    rows = bakeoff.printed["identification"]
    assert set(rows) == {"untranslated", *METHODS, "source native", "target native"}
    for row in rows.values():
        assert set(row["rank_1"]) == set(INTERVALS)
        assert row["rank_1"]["low"] <= row["rank_1"]["value"] <= row["rank_1"]["high"]
    best = max(METHODS, key=lambda method: rows[method]["rank_1"]["value"])
    assert rows[bakeoff.printed["winner"]]["rank_1"]["value"] == rows[best]["rank_1"]["value"]


def test_a_bakeoff_leaves_a_report_that_needs_no_other_file(bakeoff: Bakeoff) -> None:
    html = Path(bakeoff.printed["report"]).read_text()
    assert all(method in html for method in METHODS)
    assert "data:image/png;base64," in html
    assert 'src="http' not in html
    assert "<script" not in html


def test_a_bakeoff_run_again_unchanged_takes_up_what_is_there_and_publishes_nothing(bakeoff: Bakeoff) -> None:
    facts = [bakeoff.out / "runs" / method / "fit.json" for method in METHODS]
    first = [file.read_text() for file in facts]
    again = r3an(*bakeoff.arguments)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["identification"] == bakeoff.printed["identification"]
    promoted = Path(bakeoff.printed["promoted"])
    assert json.loads(again.stdout)["promoted"] == str(promoted)
    assert sorted(path.name for path in promoted.parent.iterdir()) == ["1", "config.pbtxt"]
    assert [file.read_text() for file in facts] == first


def test_evaluate_prints_every_measure_with_an_interval(bakeoff: Bakeoff, tmp_path: Path) -> None:
    version = bakeoff.out / "candidates" / "affine" / f"{SOURCE}--{TARGET}" / "1"
    pairs = pq.read_table(bakeoff.pairs)
    sides = {"probes": pairs.take(list(range(0, len(pairs), 2))), "gallery": pairs.take(list(range(1, len(pairs), 2)))}
    for side, table in sides.items():
        pq.write_table(table, tmp_path / f"{side}.parquet")
    files = [part for side in sides for part in (f"--{side}", str(tmp_path / f"{side}.parquet"))]
    done = r3an("evaluate", "--translator", str(version), *files, "--json")
    assert done.returncode == 0, done.stderr
    judged = json.loads(done.stdout)
    for probe in ("translated", "source_native", "target_native"):
        measures = judged[probe]
        assert set(measures["rank_1"]) == set(INTERVALS)
        assert measures["tar_at_far"].keys() == {"1e-3", "1e-4", "1e-5", "1e-6"}
        assert all(set(measures["tar_at_far"][far]) == set(INTERVALS) for far in ("1e-3", "1e-4"))
        assert measures["tar_at_far"]["1e-5"] is None, "14,160 impostor pairs cannot measure one in a hundred thousand"
        assert set(measures["fnir_at_fpir"]["0.01"]) == set(INTERVALS)
        assert measures["fnir_at_fpir"]["0.003"] is None, "120 searches cannot measure three in a thousand"


def test_evaluate_refuses_probes_that_are_enrolled_themselves(bakeoff: Bakeoff) -> None:
    version = bakeoff.out / "candidates" / "affine" / f"{SOURCE}--{TARGET}" / "1"
    pairs = str(bakeoff.pairs)
    done = r3an("evaluate", "--translator", str(version), "--probes", pairs, "--gallery", pairs, "--json")
    assert_refused(done, pairs, "column image_id, row 0: same image_id as in a row of")


def test_fit_then_export_publishes_a_judged_version(bakeoff: Bakeoff, tmp_path: Path) -> None:
    fitted = r3an(
        "fit",
        "--pairs",
        str(bakeoff.pairs),
        "--source",
        SOURCE,
        "--target",
        TARGET,
        "--method",
        "procrustes",
        "--out",
        str(tmp_path / "fit"),
        "--json",
    )
    assert fitted.returncode == 0, fitted.stderr
    done = r3an(
        "export",
        "--fit",
        str(tmp_path / "fit"),
        "--pairs",
        str(bakeoff.pairs),
        "--repository",
        str(tmp_path / "repository"),
        "--json",
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    manifest = read_manifest(Path(printed["path"]))
    assert (manifest.method, manifest.version) == ("procrustes", 1)
    assert manifest.quality is not None
    assert manifest.calibration is not None
    assert manifest.native_to_translated is not None
    assert manifest.translated_to_translated is not None
    assert manifest.confidence is not None


def test_export_refuses_to_judge_on_other_data(bakeoff: Bakeoff, tmp_path: Path) -> None:
    other = write_pairs(tmp_path / "other.parquet", seed=1)
    done = r3an(
        "export",
        "--fit",
        str(bakeoff.out / "runs" / "affine"),
        "--pairs",
        str(other),
        "--repository",
        str(tmp_path / "repository"),
    )
    assert_refused(done, "other.parquet", "not the data")
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--source", "nobody-7"], ["column nobody-7", SOURCE]),
        (["--target", SOURCE], ["same feature space"]),
        (["--methods", "affine,magic"], ["magic", "procrustes"]),
        (["--methods", "affine,affine"], ["named twice"]),
        (["--pairs", "nowhere.parquet"], ["nowhere.parquet", "no such file"]),
        (["--seed", "-1"], ["seed"]),
    ],
)
def test_a_wrong_request_is_refused_in_one_line_with_code_2(
    bakeoff: Bakeoff, tmp_path: Path, change: list[str], words: list[str]
) -> None:
    arguments = {
        "--pairs": str(bakeoff.pairs),
        "--source": SOURCE,
        "--target": TARGET,
        "--out": str(tmp_path / "out"),
        "--methods": "affine",
    }
    arguments |= dict(zip(change[::2], change[1::2], strict=True))
    assert_refused(r3an("bakeoff", *[part for pair in arguments.items() for part in pair]), *words)
    assert not (tmp_path / "out" / "bakeoff.json").exists()


def test_truncated_pairs_are_refused_by_name(bakeoff: Bakeoff, tmp_path: Path) -> None:
    whole = bakeoff.pairs.read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    done = r3an(
        "fit",
        "--pairs",
        str(tmp_path / "cut.parquet"),
        "--source",
        SOURCE,
        "--target",
        TARGET,
        "--method",
        "affine",
        "--out",
        str(tmp_path / "out"),
    )
    assert_refused(done, "cut.parquet", "Parquet")


def test_r3an_without_images_is_refused_by_column(bakeoff: Bakeoff, tmp_path: Path) -> None:
    blind = tmp_path / "blind.parquet"
    pq.write_table(pq.read_table(bakeoff.pairs).drop_columns(["image"]), blind)
    done = r3an(
        "fit",
        "--pairs",
        str(blind),
        "--source",
        SOURCE,
        "--target",
        TARGET,
        "--method",
        "r3an",
        "--out",
        str(tmp_path / "out"),
    )
    assert_refused(done, "blind.parquet", "column image")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_with_130_leaves_no_features_and_the_same_command_goes_on(
    bakeoff: Bakeoff, tmp_path: Path, stop: signal.Signals
) -> None:
    config = tmp_path / "long.toml"
    config.write_text('method = "fc"\niterations = 400\nbatch_rows = 16\ncheckpoint_interval_s = 0.1\n')
    arguments = [
        "fit",
        "--pairs",
        str(bakeoff.pairs),
        "--source",
        SOURCE,
        "--target",
        TARGET,
        "--method",
        "fc",
        "--config",
        str(config),
        "--out",
        str(tmp_path / "out"),
        "--json",
    ]
    running = subprocess.Popen([sys.executable, "-m", "training.cli", *arguments], stderr=subprocess.PIPE, text=True)
    checkpoint = tmp_path / "out" / "checkpoint.pt"
    while not checkpoint.exists():
        assert running.poll() is None, "it ended before its first checkpoint"
    running.send_signal(stop)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "again" in said
    assert not (tmp_path / "out" / "translator.pt").exists()
    assert not list((tmp_path / "out").glob(".pairs-*"))
    stopped_at = torch.load(checkpoint, weights_only=True)["iterations"]
    assert 0 < stopped_at < 400
    assert r3an(*arguments).returncode == 0
    assert (tmp_path / "out" / "translator.pt").exists()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_the_command_still_loads_ends_with_130_and_one_line(tmp_path: Path, stop: signal.Signals) -> None:
    (tmp_path / "typer.py").write_text(f"import os\nos.kill(os.getpid(), {int(stop)})\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "training.cli", "fit", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "r3an: interrupted; run the same command again to go on\n"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_a_command_loads_torch_ends_with_130_and_one_line(tmp_path: Path, stop: signal.Signals) -> None:
    """Met inside `exec`, which many imports use, it would have Python end itself by the signal."""
    (tmp_path / "torch.py").write_text(f"exec('import os; os.kill(os.getpid(), {int(stop)})')\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "training.cli", "fit", "--pairs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "r3an: interrupted; run the same command again to go on\n"


def test_a_stop_that_comes_while_it_starts_again_for_its_allocator_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal\nif 'MALLOC_MMAP_THRESHOLD_' in os.environ: os.kill(os.getpid(), signal.SIGINT)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_MMAP_THRESHOLD_"}
    environment["PYTHONPATH"] = str(tmp_path)
    command = [sys.executable, "-m", "training.cli", "fit", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "r3an: interrupted; run the same command again to go on\n"


@pytest.mark.parametrize("command", [["bakeoff", "--methods", "affine"], ["fit", "--method", "affine"], ["fit"]])
def test_without_a_terminal_a_refusal_is_one_line_without_json_too(
    bakeoff: Bakeoff, tmp_path: Path, command: list[str]
) -> None:
    few, out = tmp_path / "few.parquet", tmp_path / "out"
    pq.write_table(pq.read_table(bakeoff.pairs).slice(0, 12), few)
    sides = ["--pairs", str(few), "--source", SOURCE, "--target", TARGET, "--out", str(out)]
    assert_refused(r3an(*command, *sides), str(few), "column identity: 3 identities")
    assert not out.exists()
