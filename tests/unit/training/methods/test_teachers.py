"""Learning from a finished translator: what it labels, who is taught, and what that changes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from contract.manifest import Method
from contract.vectors import l2_normalize
from tests.unit.training.samples import SOURCE, SOURCE_DIM, TARGET, TARGET_DIM, ignore_iteration, make_fit, sample_pairs
from training.config import FitConfig
from training.errors import ConfigError
from training.fit import fit_pairs, load
from training.lessons import TEACHER, Lesson, facts_of, read_facts, shipped_lesson
from training.methods.interpolation import Interpolations
from training.methods.r3an import R3ANLearner
from training.methods.registry import entry
from training.models.r3an import R3AN, R3ANLinear
from training.models.translator import translate
from training.pairs import PairedFeatures
from training.split import split_identities

TAUGHT = {"teacher": Method.AFFINE, "teacher_share": 0.75}


@pytest.fixture
def pairs(tmp_path: Path) -> PairedFeatures:
    return sample_pairs(tmp_path)


def test_interpolated_sources_lie_on_the_arc_between_two_faces(pairs: PairedFeatures, tmp_path: Path) -> None:
    fit = make_fit(pairs, tmp_path / "c.pt", Method.DISTILLED)
    assert fit.teacher is not None
    sources, targets = (tensor.numpy() for tensor in Interpolations(fit, fit.teacher, 5).at(3))
    np.testing.assert_allclose(np.linalg.norm(sources, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(targets, translate(fit.teacher, sources), atol=1e-6)
    faces = l2_normalize(fit.sources(fit.rows)).astype(np.float64)
    for source in sources.astype(np.float64):
        every = [np.linalg.lstsq(faces[[a, b]].T, source, rcond=None) for a in range(len(faces)) for b in range(a)]
        shares = [solution for solution, residual, *_ in every if residual.size and residual[0] < 1e-9]
        assert shares
        assert all((share > -1e-3).all() for share in shares)


def test_an_iteration_has_its_own_interpolations_whenever_it_comes(pairs: PairedFeatures, tmp_path: Path) -> None:
    fit = make_fit(pairs, tmp_path / "c.pt", Method.DISTILLED)
    assert fit.teacher is not None
    drawn = Interpolations(fit, fit.teacher, 4)
    first, other, again = drawn.at(0)[0], drawn.at(1)[0], drawn.at(0)[0]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_student_comes_near_its_teacher(pairs: PairedFeatures, tmp_path: Path) -> None:
    settings = {"iterations": 150, "batch_rows": 16, "learning_rate": 3e-3}
    fit = make_fit(pairs, tmp_path / "c.pt", Method.DISTILLED, **settings)
    student, between = entry(Method.DISTILLED).fit(fit), fit.sources(fit.rows[:-1]) + fit.sources(fit.rows[1:])
    assert fit.teacher is not None
    cosines = (translate(student, between) * translate(fit.teacher, between)).sum(axis=1)
    assert cosines.mean() > 0.98


def test_distilled_without_a_teacher_is_refused(pairs: PairedFeatures, tmp_path: Path) -> None:
    fit = make_fit(pairs, tmp_path / "c.pt", Method.DISTILLED)
    with pytest.raises(ConfigError, match="distilled needs a teacher"):
        entry(Method.DISTILLED).fit(replace(fit, teacher=None))


@pytest.mark.parametrize("network", [R3AN, R3ANLinear])
def test_a_taught_batch_has_real_pairs_first_and_faces_for_these_alone(
    pairs: PairedFeatures, tmp_path: Path, network: type[R3AN | R3ANLinear]
) -> None:
    fit = make_fit(pairs, tmp_path / "c.pt", Method.R3AN, **TAUGHT, batch_rows=8)
    learner = R3ANLearner(fit, network)
    batch = learner._batch(0, faces=True)
    rows = learner.batches.at(0)
    assert (len(batch.sources), len(batch.faces), len(batch.targets)) == (8, 2, 8)
    expected = fit.targets(rows) * TARGET_DIM**0.5
    if isinstance(learner.network, R3ANLinear):
        with torch.no_grad():
            expected = expected - learner.network.linear(batch.sources[:2]).numpy()
    np.testing.assert_allclose(batch.targets[:2].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("network", [R3AN, R3ANLinear])
def test_a_soft_target_lies_between_the_true_one_and_the_teachers(
    pairs: PairedFeatures, tmp_path: Path, network: type[R3AN | R3ANLinear]
) -> None:
    def targets(share: float) -> NDArray[np.float64]:
        fit = make_fit(pairs, tmp_path / "c.pt", Method.R3AN, **TAUGHT, batch_rows=8, soft_target_share=share)
        learner = R3ANLearner(fit, network)
        batch = learner._batch(0, faces=False)
        linear = learner.network.linear(batch.sources).detach() if isinstance(learner.network, R3ANLinear) else 0
        assert fit.teacher is not None
        taught[:] = translate(fit.teacher, fit.sources(learner.batches.at(0)))
        return np.asarray(batch.targets + linear, dtype=np.float64) / TARGET_DIM**0.5

    taught = np.empty((2, TARGET_DIM))
    true, between, soft = (targets(share) for share in (0.0, 0.25, 1.0))
    np.testing.assert_allclose(soft[:2], taught, atol=1e-5)
    expected = 0.75 * true[:2] + 0.25 * taught
    np.testing.assert_allclose(between[:2], expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)
    assert np.abs(true[:2] - taught).max() > 1e-3, "the teacher is no different from the truth"
    np.testing.assert_allclose(soft[2:], true[2:], atol=1e-5)  # the teacher's own in any case


def test_r3an_linear_begins_as_the_affine_map(pairs: PairedFeatures, tmp_path: Path) -> None:
    fit = make_fit(pairs, tmp_path / "c.pt", Method.R3AN_LINEAR)
    learner, affine = R3ANLearner(fit, R3ANLinear), entry(Method.AFFINE).fit(fit)
    sources = fit.sources(fit.rows)
    np.testing.assert_allclose(translate(learner.translator(), sources), translate(affine, sources), atol=1e-5)


def test_r3an_linear_is_r3an_and_an_affine_map() -> None:
    learned = sum(p.numel() for p in R3ANLinear(SOURCE_DIM, TARGET_DIM).parameters() if p.requires_grad)
    given = [p.numel() for p in R3ANLinear(SOURCE_DIM, TARGET_DIM).parameters() if not p.requires_grad]
    assert learned == sum(p.numel() for p in R3AN(SOURCE_DIM, TARGET_DIM).parameters())
    assert given == [SOURCE_DIM * TARGET_DIM, TARGET_DIM]


def test_faces_count_every_so_many_iterations_and_then_so_much_more(pairs: PairedFeatures, tmp_path: Path) -> None:
    settings = {"face_losses_interval": 3, "reconstruction_weight": 0.5, "representation_weight": 0.25}
    learner = R3ANLearner(make_fit(pairs, tmp_path / "c.pt", Method.R3AN, **settings, adversarial_weight=0.125))
    weights = [learner._weights(iteration) for iteration in range(6)]
    assert [w.look_at_faces for w in weights] == [True, False, False] * 2
    assert (weights[0].reconstruction, weights[0].adversarial, weights[0].representation) == (1.5, 0.375, 0.75)
    assert {w.regression for w in weights} == {1.0}


def test_a_teacher_is_trained_once_and_its_seconds_count(pairs: PairedFeatures, tmp_path: Path) -> None:
    rows, out = split_identities(pairs).training, tmp_path / "fit"
    config = FitConfig(method=Method.DISTILLED, teacher=Method.PROCRUSTES, iterations=2, batch_rows=8)
    _, facts = fit_pairs(pairs, rows, SOURCE, TARGET, config, out, ignore_iteration)
    teacher, taught = load(out / TEACHER)
    assert (taught.method, taught.training.rows) == (Method.PROCRUSTES, len(rows))
    assert facts.training.seconds >= taught.training.seconds
    elsewhere = tmp_path / "elsewhere"
    fit_pairs(
        pairs, rows, SOURCE, TARGET, config, elsewhere, ignore_iteration, lesson=shipped_lesson(config, out / TEACHER)
    )
    assert not (elsewhere / TEACHER).exists()
    again, _ = load(out / TEACHER)
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in teacher.state_dict().items())


def test_what_a_teacher_was_trained_with_is_among_the_facts_and_comes_back(tmp_path: Path) -> None:
    student = FitConfig(method=Method.DISTILLED, teacher=Method.R3AN, seed=3)
    settings = FitConfig(method=Method.R3AN, teacher=Method.RESIDUAL, iterations=7, seed=3)
    of_teacher = Lesson(FitConfig(method=Method.RESIDUAL, iterations=5), tmp_path / TEACHER, None)
    facts = facts_of(student, Lesson(settings, tmp_path, of_teacher))
    assert (facts["teacher"], facts["teacher.iterations"], facts["teacher.teacher.iterations"]) == ("r3an", 7, 5)
    assert read_facts(facts, tmp_path) == (student, Lesson(settings, tmp_path, of_teacher))


def test_a_lesson_is_another_training_than_the_shipped_one(pairs: PairedFeatures, tmp_path: Path) -> None:
    rows, out = split_identities(pairs).training, tmp_path / "fit"
    config = FitConfig(method=Method.DISTILLED, teacher=Method.FC, iterations=2, batch_rows=8)
    lesson = Lesson(FitConfig(method=Method.FC, iterations=3, batch_rows=8), out / TEACHER, None)
    _, facts = fit_pairs(pairs, rows, SOURCE, TARGET, config, out, ignore_iteration, lesson=lesson)
    assert facts.training.config["teacher.iterations"] == 3
    assert load(out / TEACHER)[1].training.config["iterations"] == 3
    (out / "fit.json").unlink()  # as if interrupted: its checkpoint is not the same student's under another teacher
    other = Lesson(FitConfig(method=Method.FC, iterations=4, batch_rows=8), tmp_path / "other", None)
    with pytest.raises(ConfigError, match=r"another training \(teacher differ\)"):
        fit_pairs(pairs, rows, SOURCE, TARGET, config, out, ignore_iteration, lesson=other)
