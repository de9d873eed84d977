"""What the gateway costs: features a second through HTTP beside the same translator in process, in one run."""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import torch

from benchmarks.results import Claim, Figure, Result, claim, result_of, spread_of
from benchmarks.rounds import seconds_side_by_side
from contract.manifest import Method, Training, read_manifest
from contract.spaces import FeatureSpace
from contract.vectors import pack_float32
from deploy.gateway import GatewayServer
from service.engines.onnxruntime import open_version
from training.export import Facts, export_translator
from training.methods.kernel_ridge import SUPPORTS_MAX
from training.methods.registry import METHODS, empty_translator
from training.models.kernel import Kernel

SOURCE, TARGET = FeatureSpace(id="bench-source-256", dim=256), FeatureSpace(id="bench-target-256", dim=256)
BATCHES = (1, 64, 512)
STUDENT_SPEED = 100.0
BUDGET_S = 1.0
TIMEOUT_S = 60.0


def translate_result(command: str) -> Result:
    """Time every method's exported network at several batch sizes, in process and through the embedded gateway."""
    started_at = time.monotonic()
    figures: dict[str, float | Figure] = {}
    for method in METHODS:
        if method.startswith("arch"):  # r3an's network
            continue
        with tempfile.TemporaryDirectory() as folder:
            repository = Path(folder) / "model_repository"
            version = export_untrained(method, SOURCE, TARGET, repository)
            figures |= _measure(method, version, repository, Path(folder) / "galleries")
    return result_of(
        name="translate",
        command=command,
        seconds=time.monotonic() - started_at,
        figures=figures,
        claims=[_student_claim(figures)],
    )


def _student_claim(figures: dict[str, float | Figure]) -> Claim:
    """A student must be so much faster that a teacher of any cost pays."""
    r3an, student = (figures[f"{method}, batch 64: features/s in process"] for method in ("r3an", "distilled"))
    assert isinstance(r3an, Figure)  # noqa: S101 - for the type checker
    assert isinstance(student, Figure)  # noqa: S101 - as above
    return claim("distilled: features/s at batch 64 over r3an's", student.value / r3an.value, ">=", STUDENT_SPEED)


def _measure(method: Method, version: Path, repository: Path, galleries: Path) -> dict[str, float | Figure]:
    figures: dict[str, float | Figure] = {}
    translate = open_version(onnxruntime, repository, read_manifest(version))  # as the gateway's engine does
    settings = {
        "R3AN_ENVIRONMENT": "development",
        "R3AN_MODEL_REPOSITORY": str(repository),
        "R3AN_GALLERY_DIR": str(galleries),
        "R3AN_LOG_LEVEL": "warning",
    }
    with GatewayServer(settings) as gateway, httpx.Client(base_url=gateway.url, timeout=TIMEOUT_S) as client:
        for rows in BATCHES:
            features = np.random.default_rng(rows).standard_normal((rows, SOURCE.dim)).astype(np.float32)
            through = _through_gateway(client, pack_float32(features))
            raw, http = seconds_side_by_side([partial(translate, features), through], BUDGET_S)
            per_s = [rows / seconds for seconds in raw]
            figures[f"{method}, batch {rows}: features/s in process"] = spread_of(per_s)
            figures[f"{method}, batch {rows}: gateway over in process"] = spread_of(
                [a / b for a, b in zip(raw, http, strict=True)]
            )
    return figures


def export_untrained(method: Method, source: FeatureSpace, target: FeatureSpace, repository: Path) -> Path:
    """Export a method's network with seeded random weights, which cost what trained ones do; returns the version."""
    torch.manual_seed(0)
    training = Training(data_fingerprint="0" * 64, rows=1, identities=1, config={}, seed=0, seconds=0.0, software={})
    translator = empty_translator(method, source.dim, target.dim)
    if isinstance(translator.network, Kernel):  # its cost is its supports'
        translator.network.supports = torch.randn(SUPPORTS_MAX, source.dim) * 0.1
        translator.network.weights = torch.randn(SUPPORTS_MAX, target.dim)
    facts = Facts(id="bench", method=method, source=source, target=target, training=training)
    return export_translator(translator, facts, repository)


def _through_gateway(client: httpx.Client, body: bytes) -> Callable[[], None]:
    query = {"source_model": SOURCE.id, "target_model": TARGET.id}
    headers = {"Content-Type": "application/octet-stream"}

    def run() -> None:
        client.post("/translate", content=body, params=query, headers=headers).raise_for_status()

    return run
