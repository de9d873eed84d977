"""Error curves against a brute-force count, and against the rates that the judgement states."""

import numpy as np
import pytest

from tests.unit.training.report.samples import IMPOSTORS, make_evidence, make_stage
from training.identification import fnir_at_fpir
from training.report.trials import BINS, all_trials, count_similarities, run_trials, search_errors, verification_errors


def test_every_pair_is_counted_once() -> None:
    stage = make_stage()
    trials = run_trials(stage.target_probes, stage.probe_identities, stage.target_gallery, stage.gallery_identities)
    assert trials.genuine.sum() == len(stage.probe_identities)
    assert trials.impostor.sum() == IMPOSTORS


def test_similarities_fall_into_the_bin_that_holds_them() -> None:
    counts = count_similarities(np.array([-1, 0, 1], np.float32))
    assert np.flatnonzero(counts).tolist() == [0, BINS // 2, BINS - 1]


def test_false_matches_and_misses_are_those_of_a_brute_force_count() -> None:
    stage = make_stage()
    trials = run_trials(stage.target_probes, stage.probe_identities, stage.target_gallery, stage.gallery_identities)
    similarity = stage.target_probes @ stage.target_gallery.T
    same = stage.probe_identities[:, None] == stage.gallery_identities[None]
    curve = verification_errors(trials)
    assert np.all(np.diff(curve.x) > 0)
    assert np.all(np.diff(curve.y) <= 0)
    assert curve.x[0] == pytest.approx(10 / IMPOSTORS, rel=0.2)
    for fmr, fnmr in zip(curve.x, curve.y, strict=True):
        threshold = np.sort(similarity[~same])[::-1][round(fmr * IMPOSTORS) - 1]  # the lowest that still matches
        missed = (similarity[same] < threshold).mean()
        assert fnmr == pytest.approx(missed, abs=1.5 / same.sum()), "a bin may hold one pair more"


def test_search_errors_are_those_of_the_judgement() -> None:
    stage = make_stage()
    comparison = stage.compare(stage.target_probes)
    curve = search_errors(comparison)
    rates = tuple(f"{fpir:.12f}" for fpir in curve.x)
    judged = fnir_at_fpir(comparison, rates, bootstrap=1)
    np.testing.assert_allclose(curve.y, [judged[fpir].value for fpir in rates])


def test_trials_cover_methods_both_natives_and_chance() -> None:
    trials = all_trials(make_evidence())
    assert list(trials) == ["residual", "affine", "source native", "target native", "untranslated"]
    missed = {name: search_errors(t.comparison).y[0] for name, t in trials.items()}
    assert missed["target native"] < missed["affine"] < missed["untranslated"]
