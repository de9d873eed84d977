"""How features lie in Redis: half precision."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Features, l2_normalize

HALF = np.dtype("<f2")


def half_precision(features: Features) -> list[bytes]:
    """Each row of [N, d] as little-endian float16."""
    return [row.tobytes() for row in features.astype(HALF)]


def unpack_half(packed: Sequence[bytes], dim: int) -> NDArray[np.float16]:
    """Rows of `half_precision` as they lie, [N, d]."""
    return np.frombuffer(b"".join(packed), HALF).reshape(len(packed), dim)


def from_half(packed: Sequence[bytes], dim: int) -> Features:
    """Rows of `half_precision` as unit-length features [N, d]."""
    return l2_normalize(unpack_half(packed, dim).astype(np.float32))
