"""The procedural world: reproducible face by face, and every factor shows."""

import numpy as np
import pytest

from training.face_painting import SIZE
from training.synthetic_faces import IDENTITY_RANGES, NUISANCE_RANGES, identities, nuisances, render

IDENTITY_NAMES, NUISANCE_NAMES = list(IDENTITY_RANGES), list(NUISANCE_RANGES)


def neutral() -> tuple[np.ndarray, np.ndarray]:
    """The middle of all ranges, with what is off by default switched on."""

    def middle(ranges: dict[str, tuple[float, float]]) -> np.ndarray:
        return np.asarray([[(low + high) / 2 for low, high in ranges.values()]], np.float32)

    identity, nuisance = middle(dict(IDENTITY_RANGES)), middle(dict(NUISANCE_RANGES))
    for name, value in {
        "mole_darkness": 0.5,
        "beard": -1,
        "moustache": -1,
        "hairline": 0.4,
        "hairline_curve": 0.7,
    }.items():
        identity[0, IDENTITY_NAMES.index(name)] = value
    for name, value in {"noise": 0, "blur": 0, "blink": 0, "glasses": 0.2}.items():
        nuisance[0, NUISANCE_NAMES.index(name)] = value
    return identity, nuisance


def extremes(parameters: np.ndarray, name: str, ranges: dict[str, tuple[float, float]]) -> np.ndarray:
    both = np.repeat(parameters, 2, axis=0)
    both[:, list(ranges).index(name)] = ranges[name]
    return both


def test_faces_are_small_colour_photos() -> None:
    faces = render(identities(5, 0), nuisances(5, 0))
    assert faces.shape == (5, SIZE, SIZE, 3) == (5, 56, 56, 3)
    assert faces.dtype == np.uint8
    assert (faces.reshape(5, -1).std(axis=1) > 10).all()


def test_a_face_is_the_same_in_whatever_batch_it_is_drawn() -> None:
    together = render(identities(40, 7), nuisances(40, 7))
    for number in (0, 17, 39):
        alone = render(identities(1, 7, first=number), nuisances(1, 7, first=number))
        assert np.abs(alone[0].astype(int) - together[number]).max() <= 1  # rounding may differ with the block


def test_the_same_seed_paints_the_same_and_another_does_not() -> None:
    people, photos = identities(20, 3), nuisances(20, 3)
    np.testing.assert_array_equal(render(people, photos), render(identities(20, 3), nuisances(20, 3)))
    assert not np.allclose(people, identities(20, 4))
    assert not np.allclose(photos, nuisances(20, 4))


def test_parameters_fill_their_ranges() -> None:
    for drawn, ranges in ((identities(500, 0), IDENTITY_RANGES), (nuisances(500, 0), NUISANCE_RANGES)):
        low, high = np.asarray(list(ranges.values()), np.float32).T
        assert (drawn >= low).all()
        assert (drawn <= high).all()
        assert (np.ptp(drawn, axis=0) > 0.9 * (high - low)).all()


@pytest.mark.parametrize("name", IDENTITY_NAMES)
def test_every_factor_of_identity_shows(name: str) -> None:
    identity, nuisance = neutral()
    nuisance[0, NUISANCE_NAMES.index("glasses")] = -1
    faces = render(extremes(identity, name, dict(IDENTITY_RANGES)), np.repeat(nuisance, 2, axis=0)).astype(int)
    assert np.abs(faces[0] - faces[1]).max() > 12


@pytest.mark.parametrize("name", NUISANCE_NAMES)
def test_every_nuisance_shows(name: str) -> None:
    identity, nuisance = neutral()
    faces = render(np.repeat(identity, 2, axis=0), extremes(nuisance, name, dict(NUISANCE_RANGES))).astype(int)
    assert np.abs(faces[0] - faces[1]).max() > 12


def test_a_smile_does_not_make_another_person() -> None:
    """Light and background alike, a person smiling looks most like that person."""
    _, nuisance = neutral()
    people = identities(30, 1)
    moved = np.repeat(nuisance, 30, axis=0)
    moved[:, NUISANCE_NAMES.index("smile")] = 0.6
    first = render(people, np.repeat(nuisance, 30, axis=0)).astype(float).reshape(30, -1)
    second = render(people, moved).astype(float).reshape(30, -1)
    distances = ((first[:, None] - second[None]) ** 2).mean(axis=2)  # [30, 30]
    assert (distances.argmin(axis=1) == np.arange(30)).all()


def test_an_eye_ends_at_its_corners() -> None:
    identity, nuisance = neutral()
    nuisance[0, NUISANCE_NAMES.index("glasses")] = -1
    faces = render(extremes(identity, "eye_slant", dict(IDENTITY_RANGES)), np.repeat(nuisance, 2, axis=0)).astype(int)
    changed = np.abs(faces[0] - faces[1]).max(axis=(0, 2)) > 0  # [56] columns
    assert changed[18]
    assert not changed[[5, 27, 28, 50]].any()  # beside the head and on the nose's bridge


def test_a_face_darkens_towards_its_rim() -> None:
    face = render(*neutral())[0].astype(int)
    assert face[31, 36].sum() > face[31, 42].sum() + 20
