"""ArcFace against a reference in numpy."""

import numpy as np
import pytest
import torch

from training.encoders.arcface import ArcFaceHead, add_margin


def reference_loss(
    features: np.ndarray, directions: np.ndarray, identities: np.ndarray, scale: float, m: float
) -> float:
    """The paper's Eq. 3 by angles, one row at a time."""
    losses = []
    for feature, identity in zip(features, identities, strict=True):
        logits = []
        for number, direction in enumerate(directions):
            cosine = feature @ direction / np.linalg.norm(feature) / np.linalg.norm(direction)
            angle = np.arccos(np.clip(cosine, -1, 1))
            if number == identity:
                inside = angle + m <= np.pi
                cosine = np.cos(angle + m) if inside else cosine - m * np.sin(np.pi - m)
            logits.append(scale * cosine)
        exponentials = np.exp(np.asarray(logits) - max(logits))
        losses.append(-np.log(exponentials[identity] / exponentials.sum()))
    return float(np.mean(losses))


@pytest.mark.parametrize("margin", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("scale", [1.0, 16.0, 64.0])
def test_loss_equals_the_reference(scale: float, margin: float) -> None:
    torch.manual_seed(0)
    head = ArcFaceHead(8, 5, scale=scale).double()
    features = torch.randn(20, 8, dtype=torch.float64)
    features[0] = -3 * head.directions.detach()[1]  # its angle plus the margin exceeds pi
    identities = torch.arange(20) % 5
    identities[0] = 1
    expected = reference_loss(features.numpy(), head.directions.detach().numpy(), identities.numpy(), scale, margin)
    assert head(features, identities, margin).item() == pytest.approx(expected, rel=1e-4)


def test_the_margin_touches_the_own_identity_only() -> None:
    cosines = torch.tensor([[0.5, 0.2, -0.1]])
    harder = add_margin(cosines, torch.tensor([1]), 0.5)
    assert harder[0, [0, 2]].tolist() == cosines[0, [0, 2]].tolist()
    assert harder[0, 1].item() == pytest.approx(np.cos(np.arccos(0.2) + 0.5))


def test_the_own_similarity_never_gains_by_turning_away() -> None:
    cosines = torch.linspace(-1, 1, 1001)[:, None]
    harder = add_margin(cosines, torch.zeros(1001, dtype=torch.int64), 0.5)
    assert (harder.diff(dim=0) > 0).all()
    assert (harder[1:-1] < cosines[1:-1]).all()


@pytest.mark.parametrize("cosine", [-1.0, 1.0])
def test_gradients_stay_finite_where_the_angle_has_none(cosine: float) -> None:
    head = ArcFaceHead(4, 3, scale=16)
    features = (cosine * head.directions.detach()[:1]).requires_grad_()
    head(features, torch.tensor([0]), 0.5).backward()
    assert features.grad is not None
    assert head.directions.grad is not None
    assert features.grad.isfinite().all()
    assert head.directions.grad.isfinite().all()
