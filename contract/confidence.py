"""How much a probe looks like the features its translator was trained on."""

import base64
import binascii
from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from contract.vectors import Features, l2_normalize, unpack_float32


def _is_float32_base64(text: str) -> str:
    try:
        packed = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if len(packed) % 4 or not np.isfinite(np.frombuffer(packed, dtype="<f4")).all():
        raise ValueError("not finite little-endian float32")
    return text


Float32Base64 = Annotated[str, AfterValidator(_is_float32_base64)]


class ConfidenceModel(BaseModel):
    """A probabilistic PCA of unit-length source features and the distances that held-out faces show under it.

    Whoever fits it may lean centre and variances to the faces that translate well; the score keeps its meaning.

    The score is the share of held-out faces at least as far from the training features as the probe (a conformal
    p-value in (0, 1]); Tipping and Bishop, "Probabilistic Principal Component Analysis", 1999, for the distance.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dim: int = Field(ge=1)
    mean: Float32Base64  # [d]
    components: Float32Base64  # [k, d], orthonormal rows
    variances: Float32Base64  # [k]
    residual_variance: float = Field(gt=0)
    distances: Float32Base64  # [q], rising: squared distances of held-out faces

    @model_validator(mode="after")
    def _shapes_agree(self) -> "ConfidenceModel":
        mean, components, variances, distances = self._arrays
        if mean.shape != (self.dim,) or components.shape != (variances.size, self.dim):
            raise ValueError("confidence arrays disagree with its dimension")
        if not (variances > 0).all() or distances.size < 2 or (np.diff(distances) < 0).any():
            raise ValueError("confidence variances must be positive and distances must rise")
        return self

    @cached_property
    def _arrays(self) -> tuple[Features, Features, Features, Features]:
        def flat(text: str) -> Features:
            return unpack_float32(base64.b64decode(text), 1)[:, 0]

        components = flat(self.components)
        if components.size % self.dim:
            raise ValueError("confidence components are no whole rows")
        return flat(self.mean), components.reshape(-1, self.dim), flat(self.variances), flat(self.distances)

    def distance(self, features: Features) -> NDArray[np.float32]:
        """Squared Mahalanobis distance [N] of raw source features [N, d]."""
        mean, components, variances, _ = self._arrays
        centred = l2_normalize(features) - mean  # [N, d]
        latent = centred @ components.T  # [N, k]
        outside = (centred**2).sum(axis=1) - (latent**2).sum(axis=1)  # [N]
        return np.asarray((latent**2 / variances).sum(axis=1) + np.maximum(outside, 0) / self.residual_variance)

    def score(self, features: Features) -> NDArray[np.float32]:
        """Confidence [N] in (0, 1]: low means unlike anything the translator has seen."""
        distances = self._arrays[3]
        nearer = np.searchsorted(distances, self.distance(features), side="left")  # [N]
        return ((distances.size - nearer + 1) / (distances.size + 1)).astype(np.float32)
