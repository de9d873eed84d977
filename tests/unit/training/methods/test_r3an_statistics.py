"""What batch norm remembers is what the translator meets."""

from pathlib import Path

import torch

from contract.manifest import Method
from tests.unit.training.samples import make_fit, sample_pairs
from training.methods.r3an import R3ANLearner


def test_a_translator_normalises_by_painted_faces_and_not_by_the_real_ones_it_was_trained_beside(
    tmp_path: Path,
) -> None:
    fit = make_fit(sample_pairs(tmp_path), tmp_path / "checkpoint.pt", Method.R3AN, batch_rows=24, learning_rate=1e-3)
    learner = R3ANLearner(fit)
    for iteration in range(8):
        learner.learn(iteration)
    translator = learner.translator()
    features = torch.from_numpy(fit.sources(fit.rows))
    with torch.no_grad():
        served = translator(features)
        as_trained = translator.train()(features)  # each batch norm takes the batch's own statistics
    assert torch.nn.functional.cosine_similarity(served, as_trained).min() > 0.99


def test_asking_for_the_translator_leaves_the_training_as_it_is(tmp_path: Path) -> None:
    learner = R3ANLearner(make_fit(sample_pairs(tmp_path), tmp_path / "checkpoint.pt", Method.R3AN))
    before = {name: value.clone() for name, value in learner.state()["network"].items()}
    learner.translator()
    after = learner.state()["network"]
    assert all(torch.equal(value, after[name]) for name, value in before.items())
