"""On how many devices, and in what precision, a training runs: how it is computed, not what; no part of FitConfig.

Both decide the weights, if only their last digits, as a version of torch does, and are recorded with these.
"""

from dataclasses import dataclass
from enum import StrEnum

DEVICES_MAX = 64
PRECISION, DEVICES = "precision", "devices"  # what the manifest calls them, beside versions of software


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
