"""Faces are brought into a space from their originals, in their order, each with what made it."""

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from contract.confidence import ConfidenceModel
from contract.spaces import FeatureSpace
from contract.vectors import encode_float32, l2_normalize
from service.bounds import Deadline, InFlight
from service.errors import GallerySpaceMismatchError, NoRouteError
from service.galleries.values import Face, Original
from service.live_catalog import LiveCatalog
from service.metrics import create_metrics
from service.migration.derivation import Derived, derive
from service.translation import Translation
from tests.engines import ScriptedEngine
from tests.manifests import make_manifest, publish
from tests.unit.service.migration.migrations import NEW, OLD, THIRD

CONFIDENCE = ConfidenceModel(
    dim=OLD.dim,
    mean=encode_float32(np.zeros(OLD.dim, dtype=np.float32)),
    components=encode_float32(np.eye(OLD.dim, dtype=np.float32)[:2]),
    variances=encode_float32(np.ones(2, dtype=np.float32)),
    residual_variance=0.1,
    distances=encode_float32(np.linspace(0, 20, 50, dtype=np.float32)),
)


def originals(*spaces: FeatureSpace) -> list[Original]:
    generator = np.random.default_rng(0)
    return [
        Original(Face(f"face-{i}", "somebody"), space, l2_normalize(generator.random((1, space.dim), np.float32))[0], i)
        for i, space in enumerate(spaces)
    ]


async def derive_all(repository: Path, faces: list[Original], target: FeatureSpace = NEW) -> tuple[Derived, list[int]]:
    metrics, engine = create_metrics(), ScriptedEngine()
    catalog = LiveCatalog(repository, engine, metrics, retire_after_s=1)
    await catalog.reload()
    translation = Translation(catalog, engine, InFlight(1000, "features", metrics.rows_in_flight), metrics)
    return await derive(translation, faces, target, Deadline(time.monotonic() + 60)), engine.batches


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """OLD and THIRD lead to NEW; confidence is modelled for OLD alone."""
    publish(tmp_path, make_manifest(OLD, NEW, confidence=CONFIDENCE))
    publish(tmp_path, make_manifest(THIRD, NEW, version=3))
    return tmp_path


def test_each_origin_is_one_batch_and_natives_pass_as_they_are(repository: Path) -> None:
    faces = originals(OLD, NEW, OLD, THIRD, THIRD, NEW)
    derived, batches = asyncio.run(derive_all(repository, faces))
    assert sorted(batches) == [2, 2]
    old, third = "old-8--new-4@1", "third-6--new-4@3"
    assert derived.translators == [old, None, old, third, third, None]
    assert [score is None for score in derived.confidences] == [False, True, False, True, True, True]
    for face, feature in zip(faces, derived.features, strict=True):
        echoed = l2_normalize(face.feature[None, : NEW.dim])[0]  # what the engine of this test makes of it
        np.testing.assert_allclose(feature, echoed, rtol=1e-6)
    np.testing.assert_array_equal(derived.features[1], faces[1].feature)


def test_renditions_are_runs_of_one_translator_and_together_the_faces_in_order(repository: Path) -> None:
    derived, _ = asyncio.run(derive_all(repository, originals(OLD, OLD, NEW, OLD, THIRD, THIRD)))
    renditions = derived.renditions()
    assert [(len(r.features), r.translator) for r in renditions] == [
        (2, "old-8--new-4@1"),
        (1, None),
        (1, "old-8--new-4@1"),
        (2, "third-6--new-4@3"),
    ]
    np.testing.assert_array_equal(np.concatenate([r.features for r in renditions]), derived.features)
    assert {r.space for r in renditions} == {NEW}
    assert renditions[0].confidence is not None
    assert renditions[0].confidence.dtype == np.float32
    assert renditions[1].confidence is None


def test_a_space_without_route_and_a_target_of_another_dimension_are_refused(repository: Path) -> None:
    with pytest.raises(NoRouteError):
        asyncio.run(derive_all(repository, originals(OLD, NEW), THIRD))
    wider = FeatureSpace(id=NEW.id, dim=NEW.dim + 1)
    with pytest.raises(GallerySpaceMismatchError):
        asyncio.run(derive_all(repository, originals(OLD), wider))
