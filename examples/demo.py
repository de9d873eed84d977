"""The main job, end to end: train translators, prove them, serve them, find people across encoders, move a gallery.

`python -m examples.demo` paints its own faces; with --pairs, --source and --target it takes those instead.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from deploy.gateway import GatewayServer
from examples.demo_client import enrol, measure_latency, measure_throughput, move, search
from training.fit import load_for
from training.proof import Stage, set_stage
from training.split import split_identities

HERE = Path(__file__).parent
OUT = Path(".demo")
REPOSITORY = Path("model_repository")  # where `make up` looks for translators
METHODS = ("r3an", "fc", "affine", "procrustes")
GALLERY = "people"
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """What the demonstration works on, and where its results go."""

    pairs: Path
    source: str
    target: str
    out: Path


@dataclass(frozen=True, slots=True)
class Served:
    """What a client of the gateway saw of one method."""

    rank_1: float
    features_per_s: float
    p50_ms: float


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a gallery that was moved to the target's space."""

    faces: int
    seconds: float
    rank_1_before: float  # of source probes, in the source's space
    rank_1_after: float  # of target probes, in the target's


def main(
    pairs: Annotated[Path | None, typer.Option(help="Paired features; faces are painted otherwise.")] = None,
    source: Annotated[str, typer.Option(help="Feature space of the probes.")] = "",
    target: Annotated[str, typer.Option(help="Feature space of the gallery.")] = "",
    config: Annotated[list[Path] | None, typer.Option(help="TOML of a method; may be repeated.")] = None,
) -> None:
    """Run all steps and print the table."""
    console = Console()
    started_at = time.monotonic()
    job = _painted(console) if pairs is None else _given(pairs, source, target, config or [])
    _step(console, "Bake-off: train, judge on identities nobody trained on, export, promote the winner")
    run_bakeoff(job, config or [HERE / "r3an-demo.toml"])
    summary = json.loads((job.out / "bakeoff.json").read_text(encoding="utf-8"))
    stage = _stage(job)
    served: dict[str, Served] = {}
    for method in METHODS:
        faces, probes = len(stage.gallery_identities), len(stage.raw_probes)
        _step(console, f"Gateway with {method}: enrol {faces} faces, search {probes} probes")
        served[method] = serve_and_search(job, method, stage)
    _step(
        console, f"Gateway with {summary['winner']}: move a gallery from {job.source} to {job.target}, without a photo"
    )
    moved = move_gallery(job, summary["winner"], stage)
    seconds = round(time.monotonic() - started_at, 1)
    seen_of = {method: asdict(seen) for method, seen in served.items()}
    results = {"seconds": seconds, "served": seen_of, "moved": asdict(moved)}
    (job.out / "demo.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    console.print(_table(summary, served))
    console.print(
        f"Moved:    {moved.faces} faces in {moved.seconds:.1f} s; rank-1 before {moved.rank_1_before:.4f} "
        f"({job.source}), after {moved.rank_1_after:.4f} ({job.target})"
    )
    console.print(f"Promoted: [bold]{summary['winner']}[/], in {REPOSITORY} (`make up` serves it)")
    console.print(f"Figures:  {job.out / 'bakeoff.json'}, {job.out / 'demo.json'}")
    console.print(f"Report:   {job.out / 'report.html'}")
    console.print(f"{seconds:.0f} s in all")


def _given(pairs: Path, source: str, target: str, configs: list[Path]) -> Job:
    if not (source and target):
        raise typer.BadParameter("--pairs needs --source and --target, the names of two of its feature columns")
    return Job(pairs, source, target, OUT / "--".join([source, target, *(file.stem for file in configs)]))


def _painted(console: Console) -> Job:
    """A world painted now, and kept for the next run."""
    from training.synthesize import SPACES  # noqa: PLC0415 - torch is loaded when faces are painted

    pairs = OUT / "synthetic.parquet"
    if not pairs.exists():
        _step(console, "Synthesize: paint faces, train two encoders, write their paired features")
        OUT.mkdir(exist_ok=True)
        _r3an("synthesize", "--out", str(pairs))
    return Job(pairs, SPACES[0], SPACES[1], OUT / "synthetic")


def run_bakeoff(job: Job, configs: list[Path]) -> None:
    """Train and judge all methods; finished trainings of an earlier run are taken up."""
    spaces = ("--source", job.source, "--target", job.target, "--methods", ",".join(METHODS))
    files = [part for file in configs for part in ("--config", str(file))]
    _r3an("bakeoff", "--pairs", str(job.pairs), *spaces, "--out", str(job.out), "--repository", str(REPOSITORY), *files)


def _stage(job: Job) -> Stage:
    with tempfile.TemporaryDirectory() as cache:
        pairs = load_for(job.pairs, job.source, job.target, [], Path(cache))
        return set_stage(pairs, split_identities(pairs), job.source, job.target)


def serve_and_search(job: Job, method: str, stage: Stage) -> Served:
    """Serve one method's export and search a native gallery of the target's through it."""
    with _served(job, method) as client:
        enrol(client, GALLERY, job.target, stage.target_gallery, stage.gallery_identities)
        return Served(
            rank_1=search(client, GALLERY, job.source, stage.raw_probes, stage.probe_identities),
            features_per_s=measure_throughput(client, job.source, job.target, stage.raw_probes),
            p50_ms=measure_latency(client, job.source, job.target, stage.raw_probes),
        )


def move_gallery(job: Job, method: str, stage: Stage) -> Moved:
    """Enrol with the source encoder, move the gallery to the target's space, and search it with the target's probes."""
    with _served(job, method) as client:
        enrol(client, GALLERY, job.source, stage.raw_gallery, stage.gallery_identities)
        before = search(client, GALLERY, job.source, stage.raw_probes, stage.probe_identities)
        started_at = time.monotonic()
        move(client, GALLERY, job.target)
        seconds = time.monotonic() - started_at
        after = search(client, GALLERY, job.target, stage.target_probes, stage.probe_identities)
    return Moved(len(stage.gallery_identities), seconds, before, after)


@contextmanager
def _served(job: Job, method: str) -> Iterator[httpx.Client]:
    """One method's export behind a gateway on the embedded defaults."""
    galleries = tempfile.TemporaryDirectory()
    settings = {
        "R3AN_ENVIRONMENT": "development",
        "R3AN_MODEL_REPOSITORY": str(job.out / "candidates" / method),
        "R3AN_GALLERY_DIR": galleries.name,
        "R3AN_LOG_LEVEL": "warning",
    }
    with galleries, GatewayServer(settings) as gateway, httpx.Client(base_url=gateway.url, timeout=TIMEOUT_S) as client:
        yield client


def _table(summary: dict[str, Any], served: dict[str, Served]) -> Table:
    title = (
        f"{summary['source']} → {summary['target']}: {summary['probes']} probes, {summary['gallery_subjects']} subjects"
    )
    table = Table("probe", "rank-1 [95 %]", "through the gateway", "features/s", "p50 ms", title=title)
    for name, row in summary["identification"].items():
        rate = row["rank_1"]
        cells = [name, f"{rate['value']:.4f} [{rate['low']:.4f}, {rate['high']:.4f}]"]
        if name in served:
            seen = served[name]
            cells += [f"{seen.rank_1:.4f}", f"{seen.features_per_s:,.0f}", f"{seen.p50_ms:.2f}"]
        table.add_row(*cells, style="bold green" if name == summary["winner"] else None)
    return table


def _r3an(*arguments: str) -> None:
    """Run the training command as its user would, with its progress shown."""
    code = subprocess.run([sys.executable, "-m", "training.cli", *arguments], check=False).returncode  # noqa: S603 - our own
    if code:
        raise SystemExit(code)


def _step(console: Console, text: str) -> None:
    console.rule(f"[bold]{text}", align="left")


if __name__ == "__main__":
    typer.run(main)
