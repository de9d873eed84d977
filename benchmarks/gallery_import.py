"""`r3an-gateway gallery import` as a person runs it: a process of its own, over HTTP, into a gateway of its own."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa

from benchmarks.gallery_client import create_gallery, open_client
from benchmarks.gallery_faces import BATCH_FACES, faces_of_batch, features_of_batch, space_of
from benchmarks.results import Figure, spread_of
from benchmarks.translate import export_untrained
from contract.manifest import Method
from contract.spaces import FeatureSpace
from deploy.gateway import GatewayServer
from deploy.redis.start import RedisServer
from service.bulk.parquet import feature_array
from service.bulk.parts import new_part
from service.settings import StoreKind

GALLERY = "bench"
FACES = 100_000
ROUNDS = 3
COMMAND_S_MAX = 3600.0

OnRound = Callable[[int, int], None]  # rounds done, in all


def import_rate(kind: StoreKind, faces: int, dim: int, on_round: OnRound) -> Figure:
    """Faces a second of the whole command, its start and its first reading of the file too; each time a new gallery.

    Raises:
        RuntimeError: the command failed.
    """
    space, per_s = space_of(dim), list[float]()
    with tempfile.TemporaryDirectory() as name, _gateway(kind, Path(name), space) as gateway:
        file = _write(Path(name) / "faces.parquet", faces, dim)
        with open_client(gateway.url) as client:
            for number in range(ROUNDS):
                gallery = f"{GALLERY}-{number}"
                create_gallery(client, gallery, space)
                per_s.append(faces / _seconds(gateway.url, gallery, file, space))
                found = client.get(f"/galleries/{gallery}").raise_for_status().json()["faces"]
                if found != faces:
                    raise RuntimeError(f"{found} of {faces} faces are there")
                client.delete(f"/galleries/{gallery}").raise_for_status()
                on_round(number + 1, ROUNDS)
    return spread_of(per_s)


@contextmanager
def _gateway(kind: StoreKind, folder: Path, space: FeatureSpace) -> Iterator[GatewayServer]:
    """A gateway that knows the space, with its embedded store or a Redis of its own."""
    repository = folder / "model_repository"
    export_untrained(Method.AFFINE, space, FeatureSpace(id="bench-other", dim=2), repository)
    settings = {
        "R3AN_ENVIRONMENT": "development",
        "R3AN_ENGINE": "echo",  # nothing is translated
        "R3AN_MODEL_REPOSITORY": str(repository),
        "R3AN_LOG_LEVEL": "warning",
    }
    with ExitStack() as stack:
        if kind is StoreKind.LOCAL:
            settings["R3AN_GALLERY_DIR"] = str(folder / "galleries")
        else:
            server = stack.enter_context(RedisServer(data=folder / "redis"))
            settings |= {"R3AN_GALLERY_STORE": "redis", "R3AN_REDIS_URL": server.url}
        yield stack.enter_context(GatewayServer(settings))


def _write(file: Path, faces: int, dim: int) -> Path:
    """Write so many faces as an export has them, but what is optional."""
    kinds = {"face_id": pa.string(), "subject": pa.string(), "feature": pa.list_(pa.float32(), dim)}
    with new_part(file, pa.schema(kinds)) as writer:
        for batch in range(faces // BATCH_FACES):
            enrolled = faces_of_batch(batch)
            columns = [[face.face_id for face in enrolled], [face.subject for face in enrolled]]
            arrays = [
                *(pa.array(column, pa.string()) for column in columns),
                feature_array(features_of_batch(batch, dim)),
            ]
            writer.write(pa.Table.from_arrays(arrays, names=list(kinds)))
    return file


def _seconds(url: str, gallery: str, file: Path, space: FeatureSpace) -> float:
    options = ["--source-model", space.id, "--url", url, "--state", f"{file}.state.json"]
    command = [sys.executable, "-m", "service.cli", "gallery", "import", gallery, str(file), *options]
    started_at = time.perf_counter()
    run = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S_MAX, check=False)  # noqa: S603
    if run.returncode != 0:
        raise RuntimeError(f"the import ended with code {run.returncode}: {run.stderr.strip()[-500:]}")
    return time.perf_counter() - started_at
