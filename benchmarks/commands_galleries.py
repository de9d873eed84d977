"""The commands gallery, faults, migration and moved-faces: what galleries cost and survive, and how they move."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.faults import KILLS, KILLS_MAX, faults_result
from benchmarks.gallery import DIM, SIZES, gallery_result
from benchmarks.gallery_plot import draw_growth
from benchmarks.migration import METHOD, Load, migration_result
from benchmarks.moved_faces import moved_faces_result
from benchmarks.results import Picture, picture_of, publish
from contract.manifest import Method
from contract.spaces import DIMENSION_MAX
from service.settings import StoreKind
from training.config import load_config
from training.options import Pairs, Source, Target, names_in
from training.progress import view_progress

DEFAULTS = Load()

Stores = Annotated[str, typer.Option(help="Comma-separated: local, redis.")]
Name = Annotated[str, typer.Option(help="Of the result's file.")]

app = typer.Typer()


@app.command()
def gallery(
    sizes: Annotated[str, typer.Option(help="Comma-separated, multiples of 1,000.")] = ",".join(map(str, SIZES)),
    dim: Annotated[int, typer.Option(min=1, max=DIMENSION_MAX, help="Of the features.")] = DIM,
    stores: Stores = "local,redis",
) -> None:
    """Fill both stores at growing sizes; time writes, search, batches and restart, weigh memory, check recall.

    Then time the command that imports a gallery.
    """
    command = f"python -m benchmarks gallery --sizes {sizes} --dim {dim} --stores {stores}"
    with view_progress(as_json=False) as view:
        numbers = [int(size) for size in names_in(sizes)]
        result, measured = gallery_result(command, numbers, dim, _kinds(stores), view)
    draw_growth(measured, picture_of(result.name, Picture.GROWTH))
    publish(result)


@app.command()
def faults(
    kills: Annotated[int, typer.Option(min=1, max=KILLS_MAX, help="Shared among the stores.")] = KILLS,
    stores: Stores = "local,redis",
    seed: Annotated[int, typer.Option(min=0, help="Of the moments and of who is killed.")] = 0,
) -> None:
    """Kill gateways and Redis at random moments of enrolment, deletion and migration; count what is wrong then."""
    command = f"python -m benchmarks faults --kills {kills} --stores {stores} --seed {seed}"
    with view_progress(as_json=False) as view:
        result = faults_result(command, kills, _kinds(stores), view, seed=seed)
    publish(result)


@app.command()
def migration(
    faces: Annotated[int, typer.Option(min=1000, help="A multiple of 1,000.")] = DEFAULTS.faces,
    method: Annotated[Method, typer.Option(help="Whose network translates, untrained.")] = METHOD,
    rate: Annotated[float, typer.Option(min=0.1, max=10_000, help="Searches a second.")] = DEFAULTS.rate_per_s,
    requests: Annotated[int, typer.Option(min=1, max=10_000_000, help="While cutting over.")] = DEFAULTS.requests,
    name: Name = "migration",
) -> None:
    """Migrate a gallery with Triton, alone and under live searches, then cut over and roll back under them."""
    options = f"--faces {faces} --method {method} --rate {rate:g} --requests {requests} --name {name}"
    load = Load(faces=faces, rate_per_s=rate, requests=requests)
    with view_progress(as_json=False) as view:
        result = migration_result(f"python -m benchmarks migration {options}", name, method, load, view)
    publish(result)


@app.command()
def moved_faces(
    pairs: Pairs,
    source: Source,
    target: Target,
    out: Annotated[Path, typer.Option(help="Folder of the trainings; finished and interrupted ones are taken up.")],
    method: Annotated[Method, typer.Option(help="That translates both ways.")] = Method.RESIDUAL,
    name: Name = "moved-faces",
) -> None:
    """Move a real gallery to another encoder and probe it natively, beside enrolling anew and translating probes."""
    options = f"--source {source} --target {target} --method {method} --name {name}"
    command = f"python -m benchmarks moved-faces --pairs {pairs.name} {options} --out DIR"
    with view_progress(as_json=False) as view:
        result = moved_faces_result(name, command, pairs, source, target, load_config(method, seed=0), out, view)
    publish(result)


def _kinds(stores: str) -> list[StoreKind]:
    try:
        return [StoreKind(store) for store in names_in(stores)]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--stores") from error
