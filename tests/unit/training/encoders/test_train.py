"""Training an encoder on a few people of the procedural world."""

import numpy as np
import pytest
import torch

from contract.vectors import l2_normalize
from training.encoders.train import EncoderKind, embed, train_encoder
from training.errors import DivergedError
from training.synthetic_faces import Images, identities, nuisances, render

PEOPLE, FACES = 24, 8


@pytest.fixture(scope="module")
def photos() -> tuple[Images, np.ndarray]:
    people = np.repeat(identities(PEOPLE, 0), FACES, axis=0)
    return render(people, nuisances(PEOPLE * FACES, 0)), np.repeat(np.arange(PEOPLE, dtype=np.int32), FACES)


def own_nearest(features: np.ndarray, labels: np.ndarray) -> float:
    """Share of photos whose nearest other photo shows the same person."""
    unit = l2_normalize(features)
    similarities = unit @ unit.T
    np.fill_diagonal(similarities, -2)
    return float((labels[similarities.argmax(axis=1)] == labels).mean())


@pytest.mark.parametrize("kind", list(EncoderKind))
def test_an_encoder_learns_to_tell_people_apart(kind: EncoderKind, photos: tuple[Images, np.ndarray]) -> None:
    images, labels = photos
    untrained = embed(train_encoder(kind, images, labels, seed=0, iterations=1), images)
    trained = embed(train_encoder(kind, images, labels, seed=0, iterations=40), images)
    assert trained.shape == (PEOPLE * FACES, 256)
    assert trained.dtype == np.float32
    assert own_nearest(trained, labels) > max(0.8, own_nearest(untrained, labels) + 0.1)


def test_the_same_seed_trains_the_same_encoder(photos: tuple[Images, np.ndarray]) -> None:
    def features(seed: int) -> np.ndarray:
        return embed(train_encoder(EncoderKind.CONV, *photos, seed=seed, iterations=3), photos[0][:8])

    np.testing.assert_array_equal(features(1), features(1))
    assert not np.allclose(features(1), features(2))


def test_training_leaves_the_callers_random_numbers_alone(photos: tuple[Images, np.ndarray]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_encoder(EncoderKind.CONV, *photos, seed=1, iterations=1)
    assert torch.equal(torch.rand(3), expected)


def test_every_iteration_is_told(photos: tuple[Images, np.ndarray]) -> None:
    told: list[tuple[int, int]] = []
    train_encoder(
        EncoderKind.RESIDUAL, *photos, seed=0, iterations=3, on_progress=lambda done, total: told.append((done, total))
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_feature_does_not_depend_on_its_batch(photos: tuple[Images, np.ndarray]) -> None:
    encoder = train_encoder(EncoderKind.RESIDUAL, *photos, seed=0, iterations=2)
    alone = np.concatenate([embed(encoder, photos[0][i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(embed(encoder, photos[0])[:5], alone, atol=1e-4)


def test_a_loss_that_leaves_the_finite_numbers_ends_the_training(
    photos: tuple[Images, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.encoders.train.SCALE", float("inf"))
    with pytest.raises(DivergedError, match="conv encoder: the loss is not finite at iteration 0"):
        train_encoder(EncoderKind.CONV, *photos, seed=0, iterations=2)
