"""Confidence against known distributions, and against its own definition computed another way."""

import numpy as np
import pytest

from contract.confidence import ConfidenceModel
from contract.vectors import Features, l2_normalize
from training.confidence import COMPONENTS_MAX, ROWS_MAX, fit_confidence


def plane(seed: int, rows: int) -> Features:
    """Features near a plane of 3 of 12 dimensions."""
    generator = np.random.default_rng(seed)
    basis = np.random.default_rng(99).standard_normal((3, 12))
    noise = 0.05 * generator.standard_normal((rows, 12))
    return np.asarray(generator.standard_normal((rows, 3)) @ basis + noise + 2.0, dtype=np.float32)


def plain(training: Features, held_out: Features) -> ConfidenceModel:
    """A model that cannot lean: faces of one identity show nothing of how others translate."""
    return fit_confidence(training, training, np.zeros(len(training), np.int32), held_out)


def harder_to_one_side(seed: int, rows: int, dim: int = 6) -> tuple[Features, Features, np.ndarray]:
    """Sources, targets and identities: the target is the noisier the further a face lies out on the first axis."""
    generator = np.random.default_rng(seed)
    sources = 4 + generator.standard_normal((rows, dim))
    rotation = np.linalg.qr(np.random.default_rng(7).standard_normal((dim, dim)))[0]
    noise = np.exp(0.8 * (sources[:, :1] - 4)) * generator.standard_normal((rows, dim))
    targets = (sources - 4) @ rotation + 0.2 * noise
    return sources.astype(np.float32), targets.astype(np.float32), np.arange(rows, dtype=np.int32)


def test_the_score_is_even_over_faces_like_the_training_ones() -> None:
    scores = plain(plane(0, 4000), plane(1, 3000)).score(plane(2, 3000))
    for share in (0.1, 0.5, 0.9):
        assert (scores <= share).mean() == pytest.approx(share, abs=0.05)


def test_a_score_that_leans_is_even_too() -> None:
    model = fit_confidence(*harder_to_one_side(0, 3000), harder_to_one_side(1, 3000)[0])
    scores = model.score(harder_to_one_side(2, 3000)[0])
    for share in (0.1, 0.5, 0.9):
        assert (scores <= share).mean() == pytest.approx(share, abs=0.05)


def test_the_score_is_low_for_features_of_another_kind() -> None:
    model = plain(plane(0, 4000), plane(1, 3000))
    others = np.random.default_rng(5).standard_normal((500, 12)).astype(np.float32)
    assert np.quantile(model.score(others), 0.9) < 0.01


def test_the_distance_is_the_mahalanobis_distance_of_the_whole_covariance() -> None:
    training, probes = plane(0, 4000), plane(1, 50)
    found = plain(training, plane(2, 100)).distance(probes)
    unit = l2_normalize(training).astype(np.float64)
    centred = l2_normalize(probes) - unit.mean(axis=0)
    expected = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(np.cov(unit.T, bias=True)), centred)
    np.testing.assert_allclose(found, expected, rtol=2e-2)


def test_beyond_128_dimensions_the_directions_between_the_widest_and_the_narrowest_share_one_variance() -> None:
    dim, half = COMPONENTS_MAX + 40, COMPONENTS_MAX // 2
    spread = np.geomspace(1, 0.1, dim)
    faces = (np.random.default_rng(0).standard_normal((3000, dim)) * spread).astype(np.float32)
    unit = l2_normalize(faces).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(unit.T, bias=True))
    values[half:-half] = values[half:-half].mean()
    expected = ((unit[:50] - unit.mean(axis=0)) @ vectors) ** 2 @ (1 / values)
    np.testing.assert_allclose(plain(faces, faces).distance(faces[:50]), expected, rtol=1e-3)


def test_faces_that_are_expected_to_translate_badly_get_less_confidence() -> None:
    sources, targets, identities = harder_to_one_side(0, 4000)
    probes = harder_to_one_side(2, 2000)[0]
    hard = l2_normalize(probes)[:, 0] > np.median(l2_normalize(probes)[:, 0])
    leaning = fit_confidence(sources, targets, identities, sources).score(probes)
    unleaning = plain(sources, sources).score(probes)
    assert leaning[hard].mean() < leaning[~hard].mean() - 0.25
    assert abs(unleaning[hard].mean() - unleaning[~hard].mean()) < 0.1


def test_the_distance_is_that_of_the_covariance_plus_the_expected_disagreement() -> None:
    """In its own standard deviations each; by least squares with penalty rows, in place of the normal equations."""
    sources, targets, identities = harder_to_one_side(0, 2000, dim=16)  # no direction leans to its bound
    unit, wanted = (l2_normalize(side).astype(np.float64) for side in (sources, targets))
    values, vectors = np.linalg.eigh(np.cov(unit.T, bias=True))
    scores = (unit - unit.mean(axis=0)) @ vectors / np.sqrt(values)

    def ridge(inputs: np.ndarray, outputs: np.ndarray, penalty: float) -> np.ndarray:
        weight = np.sqrt(penalty * (inputs**2).sum() / inputs.shape[1])
        rows = np.vstack([inputs, weight * np.eye(inputs.shape[1])])
        return np.linalg.lstsq(rows, np.concatenate([outputs, np.zeros((inputs.shape[1], outputs.shape[1]))]))[0]

    disagreement = np.empty(len(unit))
    for half in (identities % 2 == 0, identities % 2 == 1):
        centre, wanted_centre = unit[half].mean(axis=0), wanted[half].mean(axis=0)
        slopes = ridge(unit[half] - centre, wanted[half] - wanted_centre, 0.02)
        answer = l2_normalize(wanted_centre + (unit[~half] - centre) @ slopes)
        disagreement[~half] = np.log(np.maximum(1 - (answer * wanted[~half]).sum(axis=1), 1e-3))
    terms = np.hstack([scores, scores**2])
    terms = (terms - terms.mean(axis=0)) / terms.std(axis=0)
    expected = (terms @ ridge(terms, (disagreement - disagreement.mean())[:, None], 0.1))[:, 0]
    distance = (scores**2).sum(axis=1)
    both = distance / distance.std() + expected / expected.std()

    found = fit_confidence(sources, targets, identities, sources).distance(sources)
    slope, offset = np.polyfit(both, found, 1)
    assert slope > 0
    np.testing.assert_allclose(found, slope * both + offset, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("rows", [2, 5, 23])
def test_few_faces_are_no_reason_to_lean(rows: int) -> None:
    sources, targets, identities = harder_to_one_side(0, rows, dim=12)
    probes = harder_to_one_side(1, 40, dim=12)[0]
    leaning = fit_confidence(sources, targets, identities, probes).distance(probes)
    np.testing.assert_array_equal(leaning, plain(sources, probes).distance(probes))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_far_from_all_faces_is_never_taken_for_near(seed: int) -> None:
    """However wildly the few faces lean."""
    sources, targets, identities = harder_to_one_side(seed, 30, dim=12)
    model = fit_confidence(sources, targets, identities, sources)
    assert model.score(-sources).max() < 0.1


def test_the_length_of_a_probe_says_nothing() -> None:
    """Clients send raw and normalised features alike."""
    sources, targets, identities = harder_to_one_side(0, 500)
    model = fit_confidence(sources, targets, identities, sources)
    np.testing.assert_allclose(model.distance(sources), model.distance(l2_normalize(sources)), rtol=1e-4, atol=1e-4)


def test_features_without_spread_are_still_a_model() -> None:
    same = np.tile(np.asarray([[1, 2, 3, 4]], np.float32), (20, 1))
    model = fit_confidence(same, same, np.arange(20, dtype=np.int32), same)
    assert model.score(same).min() > 0.5
    assert model.score(-same).max() < 0.2


def test_more_faces_than_are_needed_are_drawn_from_by_seed() -> None:
    many = np.random.default_rng(0).standard_normal((ROWS_MAX + 1000, 2)).astype(np.float32)
    identities = np.arange(len(many), dtype=np.int32)
    first, again, other = (fit_confidence(many, many, identities, many[:100], seed=seed) for seed in (0, 0, 1))
    assert first.model_dump() == again.model_dump()
    assert first.mean != other.mean


def test_the_model_stays_small_for_many_held_out_faces() -> None:
    assert len(plain(plane(0, 100), plane(1, 20_000)).model_dump_json()) < 10_000


def test_one_face_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        plain(plane(0, 1), plane(1, 5))
