"""The confidence model's distance, score and refusals."""

import numpy as np
import pytest
from pydantic import ValidationError

from contract.confidence import ConfidenceModel
from contract.vectors import encode_float32


def facts(**changes: object) -> dict[str, object]:
    chosen: dict[str, object] = {
        "dim": 3,
        "mean": encode_float32(np.zeros(3, dtype=np.float32)),
        "components": encode_float32(np.eye(3, dtype=np.float32)[:1]),
        "variances": encode_float32(np.array([0.5], dtype=np.float32)),
        "residual_variance": 0.25,
        "distances": encode_float32(np.array([1.0, 2.0, 3.0], dtype=np.float32)),
    }
    return chosen | changes


def test_the_distance_is_mahalanobis_inside_and_isotropic_outside() -> None:
    model = ConfidenceModel.model_validate(facts())
    probes = np.array([[5, 0, 0], [0, 3, 0], [3, 4, 0]], dtype=np.float32)  # normalised first: length is no evidence
    np.testing.assert_allclose(model.distance(probes), [1 / 0.5, 1 / 0.25, 0.36 / 0.5 + 0.64 / 0.25], rtol=1e-5)


def test_the_score_is_the_share_of_held_out_faces_at_least_as_far() -> None:
    model = ConfidenceModel.model_validate(facts())
    near, far = np.array([[1.0, 0, 0]], dtype=np.float32), np.array([[0, 1.0, 0]], dtype=np.float32)
    assert model.score(near) == pytest.approx([(3 - 1 + 1) / 4])  # distance 2 meets 2 and 3
    assert model.score(far) == pytest.approx([1 / 4])  # distance 4 exceeds all; never zero
    assert model.score(near).dtype == np.float32


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": "not base64!"},
        {"mean": "AAA="},  # two bytes
        {"mean": encode_float32(np.array([0, np.nan, 0], dtype=np.float32))},
        {"mean": encode_float32(np.zeros(2, dtype=np.float32))},
        {"components": encode_float32(np.zeros(4, dtype=np.float32))},
        {"components": encode_float32(np.zeros(6, dtype=np.float32))},
        {"variances": encode_float32(np.array([0.0], dtype=np.float32))},
        {"distances": encode_float32(np.array([2.0, 1.0], dtype=np.float32))},
        {"distances": encode_float32(np.array([2.0], dtype=np.float32))},
        {"residual_variance": 0.0},
        {"surprise": 1},
    ],
)
def test_arrays_that_disagree_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ConfidenceModel.model_validate(facts(**changes))
