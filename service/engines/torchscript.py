"""Translators in this process as TorchScript. The one place where the service meets torch."""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.manifest import MODEL_FILE, TranslatorManifest
from contract.vectors import Features
from service.engines.in_process import InProcessEngine, Run, import_runtime
from service.errors import EngineFailedError

if TYPE_CHECKING:
    from torch.jit import ScriptModule

logger = logging.getLogger(__name__)

NAME = "torchscript"
BATCH_ROWS = 64


async def open_torchscript(repository: Path, *, threads: int, queue_max: int) -> InProcessEngine:
    """Import torch and start the threads. Raises EngineUnavailableError: there is no torch."""
    torch = await import_runtime("torch", NAME)
    return InProcessEngine(
        NAME,
        partial(_open_version, torch, repository),
        threads=threads,
        queue_max=queue_max,
        batch_rows=BATCH_ROWS,
        # One intra-op thread each: the threads are the parallelism, and OpenMP's own would spin against it.
        prepare_thread=partial(torch.set_num_threads, 1),
    )


def _open_version(torch: Any, repository: Path, manifest: TranslatorManifest) -> Run:  # noqa: ANN401 - a module
    file = repository / manifest.id / str(manifest.version) / MODEL_FILE
    try:
        module: ScriptModule = torch.jit.load(str(file), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        logger.warning("%s does not load: %s", manifest.name, type(error).__name__)
        raise EngineFailedError(f"{MODEL_FILE} is no TorchScript that loads") from None
    return partial(_run, torch, module)


def _run(torch: Any, module: "ScriptModule", features: Features) -> Features:  # noqa: ANN401 - a module
    with torch.inference_mode():
        translated = module(torch.tensor(features))  # [N, ds] -> [N, dt]
        return np.asarray(translated.numpy(), dtype=np.float32)
