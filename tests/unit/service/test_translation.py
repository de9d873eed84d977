"""The use case between a request and an engine."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contract.confidence import ConfidenceModel
from contract.vectors import Features, encode_float32, l2_normalize
from service.bounds import Deadline, InFlight
from service.catalog import Catalog
from service.errors import (
    DeadlineExceededError,
    EngineFailedError,
    EngineOverloadedError,
    InvalidFeatureError,
    OverloadedError,
    UnknownModelError,
)
from service.live_catalog import LiveCatalog
from service.metrics import create_metrics
from service.translation import Translation
from tests.engines import ScriptedEngine
from tests.manifests import make_manifest
from tests.repository import SOURCE, TARGET

pytestmark = pytest.mark.anyio
MANIFEST = make_manifest()
LABELS = {"engine": "scripted", "translator": MANIFEST.id}


class World:
    """A translation over a scripted engine."""

    def __init__(self) -> None:
        self.engine = ScriptedEngine()
        self.metrics = create_metrics()
        catalog = LiveCatalog(Path("unused"), self.engine, self.metrics, retire_after_s=1)
        catalog.current = Catalog.of([MANIFEST])
        self.catalog = catalog
        self.rows = InFlight(10_000, "features", self.metrics.rows_in_flight)
        self.translation = Translation(catalog, self.engine, self.rows, self.metrics)

    async def translate(self, features: Features, timeout_s: float = 60) -> Features:
        deadline = Deadline(time.monotonic() + timeout_s)
        return (await self.translation.translate(SOURCE.id, TARGET.id, features, deadline)).features


@pytest.fixture
async def world() -> World:
    world = World()
    await world.engine.load(MANIFEST)
    return world


def random_features(rows: int) -> Features:
    return np.random.default_rng(0).normal(size=(rows, SOURCE.dim)).astype(np.float32)


async def test_features_come_back_in_the_target_space_with_their_translator(world: World) -> None:
    features = random_features(3)
    translated = await world.translation.translate(SOURCE.id, None, features, Deadline(time.monotonic() + 60))
    np.testing.assert_allclose(translated.features, l2_normalize(features[:, : TARGET.dim]), rtol=1e-6)
    assert (translated.manifest, translated.confidence) == (MANIFEST, None)
    assert world.metrics.registry.get_sample_value("r3an_translated_rows_total", LABELS) == 3


async def test_an_engine_error_stays_what_it_is_and_is_counted(world: World) -> None:
    world.engine.error = EngineOverloadedError("full")
    with pytest.raises(EngineOverloadedError):
        await world.translate(random_features(1))
    labels = LABELS | {"error": "EngineOverloadedError"}
    assert world.metrics.registry.get_sample_value("r3an_engine_errors_total", labels) == 1
    assert world.metrics.registry.get_sample_value("r3an_rows_in_flight") == 0


@pytest.mark.parametrize(
    "answer",
    [
        lambda features: features[:, :-1],
        lambda features: features[:-1],
        lambda features: features.astype(np.float64),
        lambda features: features * 1.01,
        lambda features: features * np.nan,
        np.zeros_like,
    ],
    ids=["narrow", "short", "float64", "long", "nan", "zero"],
)
async def test_an_answer_that_is_no_feature_never_reaches_a_client(
    world: World, answer: Callable[[Features], Features]
) -> None:
    world.engine.answer = answer
    with pytest.raises(EngineFailedError):
        await world.translate(random_features(2))
    labels = LABELS | {"error": "EngineFailedError"}
    assert world.metrics.registry.get_sample_value("r3an_engine_errors_total", labels) == 1


async def test_an_unusable_row_is_refused_before_the_engine_is_asked(world: World) -> None:
    features = random_features(3)
    features[1, 0] = np.nan
    with pytest.raises(InvalidFeatureError) as refused:
        await world.translate(features)
    assert (refused.value.row, refused.value.code) == (1, "not_finite")
    assert world.engine.batches == []


async def test_rows_beyond_the_bound_are_refused_at_once(world: World) -> None:
    with world.rows.hold(9_999), pytest.raises(OverloadedError):
        await world.translate(random_features(2))
    assert world.engine.batches == []


async def test_a_passed_deadline_asks_no_engine(world: World) -> None:
    with pytest.raises(DeadlineExceededError):
        await world.translate(random_features(1), timeout_s=0)
    assert world.engine.batches == []


async def test_confidence_is_scored_from_the_source_features(world: World) -> None:
    confidence = ConfidenceModel(
        dim=SOURCE.dim,
        mean=encode_float32(np.zeros(SOURCE.dim, dtype=np.float32)),
        components=encode_float32(np.eye(SOURCE.dim, dtype=np.float32)[:1]),
        variances=encode_float32(np.ones(1, dtype=np.float32)),
        residual_variance=0.1,
        distances=encode_float32(np.array([2.0, 3.0], dtype=np.float32)),
    )
    manifest = make_manifest(confidence=confidence)
    world.catalog.current = Catalog.of([manifest])
    known, strange = np.eye(SOURCE.dim, dtype=np.float32)[:2]
    deadline = Deadline(time.monotonic() + 60)
    translated = await world.translation.translate(SOURCE.id, None, np.stack([known, strange]), deadline)
    assert translated.confidence is not None
    np.testing.assert_allclose(translated.confidence, [1.0, 1 / 3], rtol=1e-6)


async def test_an_unknown_space_is_refused(world: World) -> None:
    with pytest.raises(UnknownModelError):
        await world.translation.translate("x", None, random_features(1), Deadline(time.monotonic() + 60))


async def test_a_request_that_goes_away_gives_its_rows_back(world: World) -> None:
    task = asyncio.create_task(world.translate(random_features(600)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.metrics.registry.get_sample_value("r3an_rows_in_flight") == 0
