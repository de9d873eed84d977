"""The double that ships."""

import numpy as np
import pytest

from contract.spaces import FeatureSpace
from service.engines.echo import EchoEngine
from service.errors import EngineUnavailableError
from tests.manifests import make_manifest

pytestmark = pytest.mark.anyio
NARROW, WIDE = FeatureSpace(id="narrow", dim=2), FeatureSpace(id="wide", dim=4)


async def test_it_cuts_or_pads_and_scales_to_unit_length() -> None:
    engine = EchoEngine()
    shrink, grow = make_manifest(WIDE, NARROW), make_manifest(NARROW, WIDE)
    await engine.load(shrink)
    await engine.load(grow)
    features = np.array([[3, 4, 9, 9], [0, 0, 0, 5]], dtype=np.float32)
    np.testing.assert_allclose(await engine.translate(shrink, features, 1), [[0.6, 0.8], [1, 0]], rtol=1e-6)
    np.testing.assert_allclose(await engine.translate(grow, features[:1, :2], 1), [[0.6, 0.8, 0, 0]], rtol=1e-6)
    assert await engine.ready()
    await engine.close()


async def test_a_version_that_was_not_loaded_cannot_be_reached() -> None:
    engine, manifest = EchoEngine(), make_manifest(WIDE, NARROW)
    await engine.load(manifest)
    await engine.unload(manifest.id, manifest.version)
    with pytest.raises(EngineUnavailableError):
        await engine.translate(manifest, np.ones((1, 4), dtype=np.float32), 1)
