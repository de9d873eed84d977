"""Every method behind the one interface: it learns, resumes, repeats, and ends as a translator."""

from pathlib import Path

import numpy as np
import pytest
import torch

from contract.manifest import Method
from tests.unit.training.samples import SOURCE, SOURCE_DIM, TARGET, TARGET_DIM, make_fit, sample_pairs
from training.errors import DataError
from training.methods.base import Batches, preparation
from training.methods.registry import METHODS, empty_translator, entry
from training.models.translator import translate
from training.pairs import PairedFeatures, read_pairs

NETWORKS = [method for method in METHODS if method == Method.ARCH1 or not method.startswith("arch")]  # those are alike
SETTINGS = {"iterations": 4, "batch_rows": 8, "learning_rate": 1e-3, "average_decay": 0.5}


@pytest.fixture
def pairs(tmp_path: Path) -> PairedFeatures:
    return sample_pairs(tmp_path)


@pytest.mark.parametrize("method", NETWORKS)
def test_a_method_ends_as_a_translator_of_raw_features_to_unit_length(
    pairs: PairedFeatures, tmp_path: Path, method: Method
) -> None:
    fit = make_fit(pairs, tmp_path / "c.pt", method, **SETTINGS)
    translated = translate(entry(method).fit(fit), fit.sources(fit.rows))
    assert translated.shape == (len(fit.rows), TARGET_DIM)
    np.testing.assert_allclose(np.linalg.norm(translated, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("method", NETWORKS)
def test_a_seed_decides_the_weights(pairs: PairedFeatures, tmp_path: Path, method: Method) -> None:
    fits = [make_fit(pairs, tmp_path / f"{run}.pt", method, **SETTINGS) for run in range(2)]
    first, second = (entry(method).fit(fit).state_dict() for fit in fits)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("method", NETWORKS)
def test_the_length_of_a_probe_does_not_matter(pairs: PairedFeatures, tmp_path: Path, method: Method) -> None:
    fit = make_fit(pairs, tmp_path / "c.pt", method, **SETTINGS)
    translator, features = entry(method).fit(fit), fit.sources(fit.rows[:5])
    np.testing.assert_allclose(translate(translator, features), translate(translator, 7 * features), atol=1e-5)


@pytest.mark.parametrize("method", NETWORKS)
def test_an_empty_translator_takes_the_weights_of_a_trained_one(
    pairs: PairedFeatures, tmp_path: Path, method: Method
) -> None:
    fit = make_fit(pairs, tmp_path / "c.pt", method, **SETTINGS)
    trained, loaded = entry(method).fit(fit), empty_translator(method, SOURCE_DIM, TARGET_DIM)
    loaded.load_state_dict(trained.state_dict())
    features = fit.sources(fit.rows[:5])
    np.testing.assert_array_equal(translate(loaded, features), translate(trained, features))


@pytest.mark.parametrize("settings", [{"step": "sequential"}, {"optimizer": "sgd"}, {"face_losses_interval": 3}])
def test_r3an_trains_by_every_setting(pairs: PairedFeatures, tmp_path: Path, settings: dict[str, object]) -> None:
    fit = make_fit(pairs, tmp_path / "c.pt", Method.R3AN, **SETTINGS | settings)
    assert np.isfinite(translate(entry(Method.R3AN).fit(fit), fit.sources(fit.rows))).all()


def test_residual_gives_translations_the_spread_of_targets(pairs: PairedFeatures, tmp_path: Path) -> None:
    fit = make_fit(pairs, tmp_path / "c.pt", Method.RESIDUAL, **SETTINGS, contrast_weight=1.0)
    translator = entry(Method.RESIDUAL).fit(fit)
    with torch.no_grad():
        translated = translator.network(translator.prepare(torch.from_numpy(fit.sources(fit.rows)))).numpy()
    mean, targets = fit.targets(fit.rows).mean(axis=0), fit.targets(fit.rows)
    spreads = [np.sqrt(np.square(rows - mean).sum(axis=1).mean()) for rows in (translated, targets)]
    assert spreads[0] == pytest.approx(spreads[1], rel=1e-4)


def test_residual_taken_up_when_finished_is_the_same(pairs: PairedFeatures, tmp_path: Path) -> None:
    fit = make_fit(pairs, tmp_path / "c.pt", Method.RESIDUAL, **SETTINGS, contrast_weight=1.0)
    first, again = (entry(Method.RESIDUAL).fit(fit).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize("method", [Method.AFFINE, Method.PROCRUSTES])
def test_a_linear_method_finds_a_linear_map(pairs: PairedFeatures, tmp_path: Path, method: Method) -> None:
    fit = make_fit(pairs, tmp_path / "c.pt", method)
    cosines = (translate(entry(method).fit(fit), fit.sources(fit.rows)) * fit.targets(fit.rows)).sum(axis=1)
    assert cosines.mean() > (0.97 if method is Method.AFFINE else 0.8)  # the samples' map is no rotation


def test_the_preparation_is_the_mean_and_the_spread_of_unit_length_sources(
    pairs: PairedFeatures, tmp_path: Path
) -> None:
    fit = make_fit(pairs, tmp_path / "c.pt")
    sources = fit.sources(fit.rows).astype(np.float64)
    sources /= np.linalg.norm(sources, axis=1, keepdims=True)
    mean, scale = preparation(fit)
    np.testing.assert_allclose(mean.numpy(), sources.mean(axis=0), atol=1e-6)
    assert scale == pytest.approx(1 / np.sqrt(sources.var(axis=0).mean()), rel=1e-5)


def test_an_epoch_shows_each_row_at_most_once_in_full_batches() -> None:
    batches = Batches(np.arange(100, 123), 5, seed=0)
    for epoch in range(3):
        shown = np.concatenate([batches.at(4 * epoch + i) for i in range(4)])
        assert len(shown) == len(set(shown)) == 20
        assert set(shown) <= set(range(100, 123))


def test_a_batch_follows_from_its_iteration_alone() -> None:
    rows = np.arange(40)
    forwards, backwards = Batches(rows, 8, seed=3), Batches(rows, 8, seed=3)
    expected = [forwards.at(i) for i in range(20)]
    for iteration in reversed(range(20)):
        np.testing.assert_array_equal(backwards.at(iteration), expected[iteration])


def test_r3an_without_images_is_refused_by_column(tmp_path: Path, pairs: PairedFeatures) -> None:
    blind = read_pairs(pairs.path, [SOURCE, TARGET], tmp_path / "blind")
    with pytest.raises(DataError, match="column image: r3an reconstructs faces and needs images"):
        entry(Method.R3AN).fit(make_fit(blind, tmp_path / "c.pt", Method.R3AN))
