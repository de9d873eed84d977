"""The main job, end to end: train translators, prove them, serve them, and find people across encoders.

`python -m examples.demo` paints its own faces; with --pairs, --source and --target it takes those instead.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from contract.vectors import Features, encode_float32, pack_float32
from deploy.gateway import GatewayServer
from training.fit import load_for, split_identities
from training.proof import Stage, set_stage

HERE = Path(__file__).parent
OUT = Path(".demo")
REPOSITORY = Path("model_repository")  # where `make up` looks for translators
METHODS = ("r3an", "fc", "affine", "procrustes")
GALLERY = "people"
ENROL_ROWS = 512
SEARCH_ROWS = 64
SINGLE_REQUESTS = 100
BULK_REQUESTS = 10
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
    seconds = round(time.monotonic() - started_at, 1)
    results = {"seconds": seconds, "served": {method: asdict(seen) for method, seen in served.items()}}
    (job.out / "demo.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    console.print(_table(summary, served))
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
    """Serve one method's export on the embedded defaults and use it as a client does."""
    galleries = tempfile.TemporaryDirectory()
    settings = {
        "R3AN_ENVIRONMENT": "development",
        "R3AN_MODEL_REPOSITORY": str(job.out / "candidates" / method),
        "R3AN_GALLERY_DIR": galleries.name,
        "R3AN_LOG_LEVEL": "warning",
    }
    with galleries, GatewayServer(settings) as gateway, httpx.Client(base_url=gateway.url, timeout=TIMEOUT_S) as client:
        enrol(client, job.target, stage)
        return Served(
            rank_1=search(client, job.source, stage),
            features_per_s=measure_throughput(client, job, stage),
            p50_ms=measure_latency(client, job, stage),
        )


def enrol(client: httpx.Client, model: str, stage: Stage) -> None:
    """Create the gallery in the target's space and enrol its faces natively."""
    _checked(client.put(f"/galleries/{GALLERY}", json={"model": model}))
    for rows in _chunks(len(stage.gallery_identities), ENROL_ROWS):
        faces = [{"face_id": f"face-{row}", "subject": f"person-{stage.gallery_identities[row]}"} for row in rows]
        body = {"source_model": model, "faces": faces} | _encoded(stage.target_gallery[np.asarray(rows)])
        _checked(client.post(f"/galleries/{GALLERY}/faces", json=body))


def search(client: httpx.Client, model: str, stage: Stage) -> float:
    """Share of source-space probes whose subject the gateway names first."""
    found = 0
    for rows in _chunks(len(stage.raw_probes), SEARCH_ROWS):
        body = {"source_model": model, "gallery": GALLERY, "top_k": 1} | _encoded(stage.raw_probes[rows])
        results = _checked(client.post("/search", json=body)).json()["results"]
        for row, result in zip(rows, results, strict=True):
            found += result["matches"][0]["subject"] == f"person-{stage.probe_identities[row]}"
    return found / len(stage.raw_probes)


def measure_throughput(client: httpx.Client, job: Job, stage: Stage) -> float:
    """Features translated a second, 64 rows of octets a request, one request after another."""
    body = pack_float32(stage.raw_probes[:SEARCH_ROWS])
    query = {"source_model": job.source, "target_model": job.target}
    headers = {"Content-Type": "application/octet-stream"}
    _checked(client.post("/translate", content=body, params=query, headers=headers))
    started_at = time.perf_counter()
    for _ in range(BULK_REQUESTS):
        _checked(client.post("/translate", content=body, params=query, headers=headers))
    return BULK_REQUESTS * len(stage.raw_probes[:SEARCH_ROWS]) / (time.perf_counter() - started_at)


def measure_latency(client: httpx.Client, job: Job, stage: Stage) -> float:
    """Median milliseconds of a single-feature JSON request, as the client sees it."""
    body = {"source_model": job.source, "target_model": job.target, "features": [stage.raw_probes[0].tolist()]}
    seconds = []
    for _ in range(SINGLE_REQUESTS):
        started_at = time.perf_counter()
        _checked(client.post("/translate", json=body))
        seconds.append(time.perf_counter() - started_at)
    return statistics.median(seconds) * 1000


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


def _encoded(features: Features) -> dict[str, Any]:
    return {"features": [encode_float32(row) for row in features], "encoding_format": "base64"}


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise SystemExit(f"demo: the gateway answered {response.status_code}: {response.text}")
    return response


def _chunks(count: int, size: int) -> Iterator[range]:
    for start in range(0, count, size):
        yield range(start, min(start + size, count))


def _step(console: Console, text: str) -> None:
    console.rule(f"[bold]{text}", align="left")


if __name__ == "__main__":
    typer.run(main)
