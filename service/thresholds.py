"""Which matches count: by similarity, or by how often impostors reach it in one comparison or in a whole gallery."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.calibration import Calibration
from service.errors import UncalibratedError


@dataclass(frozen=True, slots=True)
class Threshold:
    """At most one of: a least similarity in [-1, 1], a false-match rate, a false-positive identification rate."""

    min_similarity: float | None = None
    max_fmr: float | None = None
    max_fpir: float | None = None


ANY = Threshold()


def least_similarity(threshold: Threshold, calibration: Calibration | None, searched: int) -> float | None:
    """The similarity to demand of matches among `searched` faces; None: any.

    Raises:
        UncalibratedError: nobody measured false-match rates here, or none as strict as this.
    """
    if threshold.max_fmr is not None:
        return _similarity_at(threshold.max_fmr, "max_fmr", _measured(calibration))
    if threshold.max_fpir is not None:
        measured = _measured(calibration)
        if searched == 0:  # nobody can be mistaken
            return None
        return _similarity_at(fmr_of(threshold.max_fpir, searched), f"max_fpir over {searched} faces", measured)
    return threshold.min_similarity


def check_threshold(threshold: Threshold, calibration: Calibration | None) -> None:
    """Refuse before a search what can be known to be uncalibrated before it. Raises UncalibratedError."""
    least_similarity(threshold, calibration, 0)


def fpirs_of(fmrs: NDArray[np.float64], searched: int) -> NDArray[np.float64]:
    """The chance that any of `searched` impostors matches, 1 - (1 - FMR)^N, for each false-match rate."""
    if searched == 0:
        return np.zeros_like(fmrs)
    with np.errstate(divide="ignore"):  # a rate of 1 is certain to happen among any number
        rates: NDArray[np.float64] = -np.expm1(searched * np.log1p(-fmrs))
    return rates


def fmr_of(fpir: float, searched: int) -> float:
    """The false-match rate that `searched` ≥ 1 comparisons raise to this false-positive identification rate."""
    return float(-np.expm1(np.log1p(-fpir) / searched))


def _measured(calibration: Calibration | None) -> Calibration:
    if calibration is None:
        raise UncalibratedError("nobody has measured false-match rates of these probes and faces")
    return calibration


def _similarity_at(fmr: float, what: str, calibration: Calibration) -> float:
    try:
        return calibration.similarity_at(fmr)
    except ValueError:
        strictest = calibration.points[-1].fmr
        raise UncalibratedError(
            f"{what}: asks for a false-match rate of {fmr:.3g}; none below {strictest:g} was calibrated"
        ) from None
