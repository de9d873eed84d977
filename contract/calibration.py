"""Similarity to false-match rate and back, so that one FMR threshold means the same for every translator."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

FMR_LEVELS = ("1e-1", "1e-2", "1e-3", "1e-4", "1e-5", "1e-6")


class CalibrationPoint(BaseModel):
    """The cosine similarity that impostors exceed at one false-match rate."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    fmr: float = Field(gt=0, lt=1)
    similarity: float = Field(ge=-1, le=1)
    extrapolated: bool  # fewer than ten impostor pairs lie beyond this point: the tail is a fit, not a count


class Calibration(BaseModel):
    """Points of falling FMR and rising similarity, measured on impostor pairs of held-out identities."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    impostor_pairs: int = Field(ge=1)
    points: tuple[CalibrationPoint, ...] = Field(min_length=2, strict=False)

    @model_validator(mode="after")
    def _points_are_monotone(self) -> "Calibration":
        pairs = list(zip(self.points, self.points[1:], strict=False))
        if not all(a.fmr > b.fmr and a.similarity <= b.similarity for a, b in pairs):
            raise ValueError("calibration points must fall in fmr and not fall in similarity")
        return self

    def fmr_at(self, similarity: float) -> float:
        """False-match rate at a cosine similarity, log-linear between points; 1 below the first, the last beyond it.

        Below the first point nothing was measured but that it is more: the bulk of all impostors may lie there.
        """
        return float(self.fmrs_at(np.array([similarity]))[0])

    def fmrs_at(self, similarities: NDArray[np.float64]) -> NDArray[np.float64]:
        """False-match rates [N] at cosine similarities [N], as `fmr_at`."""
        known = [p.similarity for p in self.points]
        log_fmrs = [math.log10(p.fmr) for p in self.points]
        return np.asarray(10.0 ** np.interp(similarities, known, log_fmrs, left=0.0), dtype=np.float64)

    def similarity_at(self, fmr: float) -> float:
        """Cosine similarity to demand for at most this false-match rate; the first point's for any looser rate.

        Raises:
            ValueError: the rate is stricter than the last point; a threshold is never invented.
        """
        if fmr < self.points[-1].fmr:
            raise ValueError(f"the strictest calibrated false-match rate is {self.points[-1].fmr:g}")
        if fmr >= self.points[0].fmr:
            return self.points[0].similarity
        log_fmrs = [math.log10(p.fmr) for p in reversed(self.points)]
        similarities = [p.similarity for p in reversed(self.points)]
        return max(float(np.interp(math.log10(fmr), log_fmrs, similarities)), similarities[-1])  # despite rounding


def strictest(calibrations: Sequence[Calibration]) -> Calibration | None:
    """One calibration for pairs of which nobody knows which of several they are of: it never understates a rate.

    At each measured rate it demands the greatest similarity that any of them does, and between them no less. None where
    nothing is given, or the ranges of rates have no two points in common.
    """
    if len(calibrations) < 2:
        return calibrations[0] if calibrations else None
    loosest, last = min(c.points[0].fmr for c in calibrations), max(c.points[-1].fmr for c in calibrations)
    fmrs = sorted({p.fmr for c in calibrations for p in c.points if last <= p.fmr <= loosest}, reverse=True)
    if len(fmrs) < 2:
        return None
    points = tuple(
        CalibrationPoint(
            fmr=fmr,
            similarity=max(c.similarity_at(fmr) for c in calibrations),
            extrapolated=any(p.extrapolated for c in calibrations for p in c.points if p.fmr >= fmr),
        )
        for fmr in fmrs
    )
    return Calibration(impostor_pairs=min(c.impostor_pairs for c in calibrations), points=points)
