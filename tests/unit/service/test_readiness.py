"""Readiness, asked often and answered from a moment ago."""

from pathlib import Path

import pytest

from contract.spaces import FeatureSpace
from service.catalog import Catalog
from service.galleries.local import LocalGalleries
from service.live_catalog import LiveCatalog
from service.metrics import create_metrics
from service.readiness import Readiness, ReadinessCheck
from tests.engines import ScriptedEngine
from tests.manifests import make_manifest

pytestmark = pytest.mark.anyio


async def test_it_is_ready_when_all_are_and_remembers_for_a_second(tmp_path: Path) -> None:
    now_s = 0.0
    engine = ScriptedEngine()
    galleries = LocalGalleries.open(tmp_path, faces_max=1, galleries_max=1)
    catalog = LiveCatalog(tmp_path, engine, create_metrics(), retire_after_s=1)
    check = ReadinessCheck(catalog, engine, galleries, clock=lambda: now_s)
    assert await check.now() == Readiness(catalog=False, engine=True, galleries=True)
    assert not (await check.now()).ready
    catalog.current = Catalog.of([make_manifest(FeatureSpace(id="a", dim=1), FeatureSpace(id="b", dim=1))])
    assert not (await check.now()).ready
    now_s = 1.0
    assert (await check.now()).ready
    engine.is_ready = False
    assert (await check.now()).ready
    now_s = 2.0
    assert not (await check.now()).ready
    await galleries.close()
    engine.is_ready, now_s = True, 3.0
    assert await check.now() == Readiness(catalog=True, engine=True, galleries=False)
