"""What is claimed of the gateway's speed, from the rounds that were measured in turn."""

import math
import statistics
from dataclasses import dataclass
from typing import Final

from benchmarks.gateway_cells import Rounds
from benchmarks.results import Claim, Figure, claim, spread_of

TRITON_SHARE_MIN: Final = 0.6

Figures = dict[str, float | Figure]


@dataclass(frozen=True, slots=True)
class Part:
    """What is found of one method."""

    figures: Figures
    claims: list[Claim]


def known(figures: Figures) -> Figures:
    """Without those that nothing was measured for: no answer has no latency."""
    return {key: value for key, value in figures.items() if isinstance(value, Figure) or not math.isnan(value)}


def features_per_s(rounds: Rounds) -> dict[str, list[float]]:
    """Of each round, by contestant."""
    return {name: [summary.features_per_s for summary in summaries] for name, summaries in rounds.items()}


def best_of(rounds: Rounds, start: str) -> str:
    """Of the contestants whose names begin so, the one with the greatest median: a peer is used as it is fastest."""
    rates = features_per_s(rounds)
    return max((name for name in rates if name.startswith(start)), key=lambda name: statistics.median(rates[name]))


def ratios(rounds: Rounds, ours: str, peer: str) -> Figure:
    """Features a second over a peer's, round by round; one that answered nothing counts as one feature a second."""
    rates = features_per_s(rounds)
    return spread_of([a / max(1.0, b) for a, b in zip(rates[ours], rates[peer], strict=True)])


def rate_figures(what: str, rounds: Rounds) -> Figures:
    """Features a second of each contestant."""
    return {f"{what}, {name}: features/s": spread_of(rates) for name, rates in features_per_s(rounds).items()}


def peer_claims(what: str, rounds: Rounds, ours: str, litserve_min: float) -> list[Claim]:
    """Against the fastest way of using LitServe and the fastest way of asking Triton directly."""
    litserve, triton = best_of(rounds, "LitServe"), best_of(rounds, "tritonclient")
    return [
        claim(f"{what}: {ours} over {litserve}", ratios(rounds, ours, litserve).value, ">=", litserve_min),
        claim(f"{what}: {ours} over {triton}", ratios(rounds, ours, triton).value, ">=", TRITON_SHARE_MIN),
    ]
