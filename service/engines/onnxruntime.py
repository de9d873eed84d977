"""Translators in this process as ONNX: the fastest on CPUs, and without torch."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from contract.manifest import ONNX_FILE, ONNX_INPUT, ONNX_OUTPUT, TranslatorManifest
from contract.vectors import Features
from service.engines.in_process import InProcessEngine, Run, import_runtime, in_pieces
from service.errors import EngineFailedError

logger = logging.getLogger(__name__)

NAME = "onnxruntime"
# Of R³AN, more rows do not fit into a core's cache: each takes a tenth longer with 32, a quarter with 64. Of a linear
# map, fewer would be dear: a call costs as much as ten rows.
BATCH_ROWS = 16
SILENT = 4  # its log may say what it was given


async def open_onnxruntime(repository: Path, *, threads: int, queue_max: int) -> InProcessEngine:
    """Import onnxruntime and start the threads. Raises EngineUnavailableError: there is no onnxruntime."""
    runtime = await import_runtime("onnxruntime", NAME)
    return InProcessEngine(
        NAME,
        partial(open_version, runtime, repository),
        threads=threads,
        queue_max=queue_max,
    )


def open_version(runtime: Any, repository: Path, manifest: TranslatorManifest) -> Run:  # noqa: ANN401 - a module
    """How a version of `<repository>/<translator>/` is run, in the caller's thread. Raises EngineFailedError."""
    if manifest.onnx is None:
        raise EngineFailedError(
            f"has no {ONNX_FILE}: export it again, or have a gateway serve it with R3AN_ENGINE=torchscript"
        )
    file = repository / manifest.id / str(manifest.version) / ONNX_FILE
    try:
        session = runtime.InferenceSession(str(file), _options(runtime), providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common root
        logger.warning("%s does not load: %s", manifest.name, type(error).__name__)
        raise EngineFailedError(f"{ONNX_FILE} is no ONNX that loads") from None
    return in_pieces(partial(_run, session), BATCH_ROWS)


def _options(runtime: Any) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """One thread a call, the caller's: the engine's threads are the parallelism."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = SILENT
    for pool in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
    return options


def _run(session: Any, features: Features) -> Features:  # noqa: ANN401 - onnxruntime has no types
    (translated,) = session.run([ONNX_OUTPUT], {ONNX_INPUT: features})  # [N, ds] -> [N, dt]
    return np.asarray(translated, dtype=np.float32)
