"""On how many devices, and in what precision, a training runs: how it is computed, not what; no part of FitConfig.

The precision decides the weights as a version of torch does, and is recorded with these.
"""

from dataclasses import dataclass
from enum import StrEnum

DEVICES_MAX = 64
PRECISION = "precision"  # what the manifest calls it, beside versions of software: it decides the weights too


class Precision(StrEnum):
    """Of a network's passes; weights, losses and updates are float32 always. Fabric's names."""

    FULL = "32-true"
    BFLOAT16 = "bf16-mixed"
    FLOAT16 = "16-mixed"


@dataclass(frozen=True, slots=True)
class Hardware:
    """GPUs where there are some, otherwise as many processes on the CPU."""

    devices: int = 1
    precision: Precision = Precision.FULL


PLAIN = Hardware()
