"""The use case: resolve the route, check the features, run the engine before the deadline, check its answer."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import VectorError
from contract.manifest import TranslatorManifest
from contract.vectors import Features, check_features
from service.bounds import Deadline, InFlight
from service.engines.base import Engine
from service.errors import EngineError, EngineFailedError, InvalidFeatureError
from service.live_catalog import LiveCatalog
from service.metrics import Metrics

# Triton's max_batch_size in every exported config.pbtxt.
BATCH_ROWS_MAX = 512
NORM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Translated:
    """Unit-length features [N, dt] and what made them; confidence [N] in (0, 1], None where it is not modelled."""

    manifest: TranslatorManifest
    features: Features
    confidence: NDArray[np.float32] | None
    inference_s: float


class Translation:
    """Translates features along a route of the catalogue."""

    def __init__(self, catalog: LiveCatalog, engine: Engine, rows: InFlight, metrics: Metrics) -> None:
        self._catalog = catalog
        self._engine = engine
        self._rows = rows
        self._metrics = metrics

    async def translate(
        self, source_model: str, target_model: str | None, features: Features, deadline: Deadline
    ) -> Translated:
        """Translate raw features [N, ds] float32, N ≥ 1.

        Raises:
            UnknownModelError, NoRouteError, MalformedBodyError: no such route (see Catalog.route).
            InvalidFeatureError: a row is no usable feature.
            OverloadedError, DeadlineExceededError, EngineError.
        """
        manifest = self._catalog.current.route(source_model, target_model)
        try:
            check_features(features, manifest.source.dim)
        except VectorError as error:
            raise InvalidFeatureError.of(error) from None
        with self._rows.hold(len(features)):
            started = time.monotonic()
            translated = await self._run(manifest, features, deadline)
            inference_s = time.monotonic() - started
        confidence = None if manifest.confidence is None else manifest.confidence.score(features)
        return Translated(manifest, translated, confidence, inference_s)

    async def _run(self, manifest: TranslatorManifest, features: Features, deadline: Deadline) -> Features:
        labels = (self._engine.name, manifest.id)
        try:
            with self._metrics.engine_duration.labels(*labels).time():
                translated = await self._engine.translate(manifest, features, deadline.remaining_ms())
            check_answer(translated, len(features), manifest.target.dim)
        except EngineError as error:
            self._metrics.engine_errors.labels(*labels, type(error).__name__).inc()
            raise
        self._metrics.translated_rows.labels(*labels).inc(len(features))
        return translated


def check_answer(translated: Features, rows: int, dim: int) -> None:
    """Refuse an answer that is no unit-length feature; the client never gets one."""
    if translated.shape != (rows, dim) or translated.dtype != np.float32:
        raise EngineFailedError("the engine answered with another shape or type")
    norms = np.linalg.norm(translated, axis=1)  # [N]
    if not (np.abs(norms - 1) <= NORM_TOLERANCE).all():  # NaN and infinity fail this too
        raise EngineFailedError("the engine answered with something that is no unit-length feature")
