"""Bulk commands in tests: as a person types them, and as one is interrupted."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner, Result

from deploy.process import wait_until
from service.bulk.client import Gateway
from service.bulk.offline import Part, write_part
from service.bulk.processes import Stopped
from service.bulk.translation import Translates
from service.cli import cli

WORKERS_START_S = 60


def run(url: str, *arguments: object) -> Result:
    """A command against a gateway, in this process."""
    environment = {"R3AN_URL": url, "COLUMNS": "200", "R3AN_API_KEY": ""}
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], env=environment)


def refusal(result: Result) -> str:
    """The one line of a command that refused its input with code 2."""
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("r3an-gateway: ")]
    assert "Traceback" not in result.output
    return line


def stopping_gateway(url: str) -> tuple[Gateway, Callable[[int], Callable[[int, int], None]]]:
    """A client, and what makes a progress callback that tells it to stop from so many rows on."""
    stopped = threading.Event()

    def stop_from(rows: int) -> Callable[[int, int], None]:
        return lambda done, total: stopped.set() if done >= rows else None

    return Gateway(url, None, stopped=stopped, connections=4), stop_from


def exported_faces(folder: Path) -> dict[str, pa.Table]:
    """What an export holds, by space."""
    return {
        space.name: pa.concat_tables(pq.read_table(part) for part in sorted(space.glob("*.parquet")))
        for space in sorted(folder.iterdir())
        if space.is_dir()
    }


def faces_of(client: httpx.Client, gallery: str) -> int:
    """How many faces a gallery says it holds."""
    faces: int = client.get(f"/galleries/{gallery}").json()["faces"]
    return faces


def write_part_beside_another(translator: Translates, part: Part, stopped: Stopped) -> int:
    """`write_part` once a second process writes parts too; each notes its id in a folder beside the output."""
    processes = part.target.parent.with_suffix(".processes")
    processes.mkdir(exist_ok=True)
    (processes / f"{os.getpid()}").touch()
    wait_until(lambda: len([*processes.iterdir()]) > 1, WORKERS_START_S, "a second process")
    return write_part(translator, part, stopped)
