"""A training that ends no nearer to its targets than their mean is has learned nothing, and says so."""

from pathlib import Path

import pytest

from contract.manifest import Method
from tests.unit.training.samples import make_fit, sample_pairs
from training.errors import DivergedError
from training.methods.convergence import JUDGED_ITERATIONS_MIN
from training.methods.registry import entry
from training.pairs import PairedFeatures

WILD = {"iterations": 40, "learning_rate": 10.0}
SANE = {"learning_rate": 1e-3}
ITERATIVE = [Method.ARCH7, Method.R3AN_LINEAR, Method.FC, Method.RESIDUAL, Method.DISTILLED]


@pytest.fixture
def pairs(tmp_path: Path) -> PairedFeatures:
    return sample_pairs(tmp_path)


@pytest.mark.parametrize("method", ITERATIVE)
def test_a_short_training_that_learned_nothing_is_told_apart(
    pairs: PairedFeatures, tmp_path: Path, method: Method
) -> None:
    with pytest.raises(
        DivergedError, match=rf"{method} did not converge: cosine to the target .* the mean target's is"
    ):
        entry(method).fit(make_fit(pairs, tmp_path / "c.pt", method, **WILD))


@pytest.mark.parametrize("method", ITERATIVE)
def test_a_training_at_a_sane_rate_is_judged_and_passes(pairs: PairedFeatures, tmp_path: Path, method: Method) -> None:
    entry(method).fit(make_fit(pairs, tmp_path / "c.pt", method, **SANE, iterations=JUDGED_ITERATIONS_MIN))


def test_a_trial_of_a_few_iterations_is_not_judged(pairs: PairedFeatures, tmp_path: Path) -> None:
    entry(Method.FC).fit(make_fit(pairs, tmp_path / "c.pt", Method.FC, learning_rate=10.0, iterations=2))


def test_what_is_not_told_to_be_near_its_targets_is_not_judged_by_that(pairs: PairedFeatures, tmp_path: Path) -> None:
    settings = WILD | {"regression_weight": 0.0, "learning_rate": 1.0}
    entry(Method.ARCH1).fit(make_fit(pairs, tmp_path / "c.pt", Method.ARCH1, **settings))
