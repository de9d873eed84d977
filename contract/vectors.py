"""Checks, normalisation and packing of features. Used on entry and again when an engine answers."""

import base64

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contract.errors import VectorError

Features = NDArray[np.float32]

FLOAT32_BYTES = 4
# Raw encoder output lies within a few units of zero; a magnitude beyond this is a unit or a byte-order mistake, and its
# square would leave float32.
MAGNITUDE_MAX = 1e6
NORM_MIN = 1e-6


def check_features(features: Features, dim: int) -> None:
    """Refuse features [N, dim] that are not finite, out of range or without direction.

    Raises:
        VectorError: code `wrong_dimension`, `not_finite`, `out_of_range` or `zero_vector`, with the first such row.
    """
    if features.ndim != 2 or features.shape[1] != dim:
        width = features.shape[1] if features.ndim == 2 else features.ndim
        raise VectorError(0, "wrong_dimension", f"dimension {width} where {dim} is expected")
    # One pass tells of nearly all requests that nothing is wrong: a norm bounds each magnitude, and is NaN if one is.
    norms = norms_of(features)  # [N]
    if ((norms > 2 * NORM_MIN) & (norms < MAGNITUDE_MAX)).all():
        return
    finite = np.isfinite(features).all(axis=1)  # [N]
    if not finite.all():
        raise VectorError(_first(~finite), "not_finite", "holds NaN or infinity")
    in_range = (np.abs(features) <= MAGNITUDE_MAX).all(axis=1)  # [N]
    if not in_range.all():
        raise VectorError(_first(~in_range), "out_of_range", f"a magnitude exceeds {MAGNITUDE_MAX:g}")
    zero = np.linalg.norm(features, axis=1) < NORM_MIN  # [N]
    if zero.any():
        raise VectorError(_first(zero), "zero_vector", "zero vector has no direction")


def l2_normalize(features: Features) -> Features:
    """Scale each row of [N, d] to unit length. Rows must have passed `check_features`."""
    normalised: Features = features / np.linalg.norm(features, axis=1, keepdims=True)
    return normalised


def norms_of(features: Features) -> NDArray[np.float32]:
    """Lengths [N] of features [N, d], for checks: np.linalg.norm makes an array of the squares first.

    Rounded otherwise than it does, which all weights and manifests rest on through `l2_normalize`.
    """
    lengths: NDArray[np.float32] = np.sqrt(np.einsum("nd,nd->n", features, features))
    return lengths


def pack_float32(features: Features) -> bytes:
    """Pack [N, d] into N·d little-endian float32, row after row."""
    return features.astype("<f4", copy=False).tobytes()


def encode_float32(features: Features) -> str:
    """Base64 of `pack_float32`: how features, and the small arrays of a manifest, stand in JSON."""
    return base64.b64encode(pack_float32(features)).decode("ascii")


def unpack_float32(packed: bytes | memoryview, dim: int) -> Features:
    """Read [N, dim] from little-endian float32 without copying on a little-endian machine.

    Raises:
        VectorError: code `wrong_dimension` when the length is no multiple of dim float32.
    """
    row_bytes = dim * FLOAT32_BYTES
    rows, rest = divmod(len(packed), row_bytes)
    if rest:
        raise VectorError(rows, "wrong_dimension", f"{rest} bytes where {row_bytes} ({dim} float32) are expected")
    return np.frombuffer(packed, dtype="<f4").reshape(rows, dim).astype(np.float32, copy=False)


def _first(mask: ArrayLike) -> int:
    return int(np.argmax(mask))
