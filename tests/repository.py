"""Small real translators for tests: trained on nothing, exported for real."""

from pathlib import Path

import torch
from torch import Tensor, nn

from contract.calibration import FMR_LEVELS, Calibration, CalibrationPoint
from contract.manifest import Method, Training
from contract.spaces import FeatureSpace
from training.export import Facts, export_translator

SOURCE = FeatureSpace(id="source-24", dim=24)
TARGET = FeatureSpace(id="target-16", dim=16)


class RandomLinear(nn.Module):
    """A seeded linear map between unit spheres, the cheapest real translator."""

    def __init__(self, source_dim: int, target_dim: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("matrix", torch.randn(source_dim, target_dim, generator=generator))

    def forward(self, features: Tensor) -> Tensor:
        """[N, ds] to unit-length [N, dt]."""
        matrix: Tensor = self.matrix
        return nn.functional.normalize(nn.functional.normalize(features) @ matrix)


def write_translator(
    repository: Path,
    source: FeatureSpace = SOURCE,
    target: FeatureSpace = TARGET,
    *,
    seed: int = 0,
    version: int | None = None,
    module: nn.Module | None = None,
) -> Path:
    """Export one more version of `<source>--<target>`; returns its folder."""
    points = tuple(
        CalibrationPoint(fmr=float(f), similarity=0.1 * (i + 3), extrapolated=i > 3) for i, f in enumerate(FMR_LEVELS)
    )
    calibration = Calibration(impostor_pairs=100_000, points=points)
    facts = Facts(
        id=f"{source.id}--{target.id}",
        method=Method.AFFINE,
        source=source,
        target=target,
        training=Training(
            data_fingerprint="0" * 64, rows=1, identities=1, config={}, seed=seed, seconds=0.0, software={}
        ),
        calibration=calibration,
        target_calibration=calibration,
        native_to_translated=calibration,
        translated_to_translated=calibration,
    )
    module = RandomLinear(source.dim, target.dim, seed) if module is None else module
    return export_translator(module, facts, repository, version=version)
