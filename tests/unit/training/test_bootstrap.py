"""Paired differences between methods: against an oracle that copies rows, and on cases with a known answer."""

import numpy as np
import pytest

from training.bootstrap import PERCENTILES, count_subjects, paired_differences

SUBJECTS, FACES = 200, 4
IDENTITIES = np.repeat(np.arange(SUBJECTS), FACES).astype(np.int32)


def answers(seed: int = 0) -> dict[str, np.ndarray]:
    """Three methods' hits [800]: good, a little worse, much worse."""
    generator = np.random.default_rng(seed)
    worst = generator.random(len(IDENTITIES)) < 0.5
    good = worst | (generator.random(len(IDENTITIES)) < 0.8)
    return {"good": good, "near": good & (generator.random(len(IDENTITIES)) < 0.99), "worst": worst}


def test_the_better_of_two_methods_is_told_from_noise() -> None:
    correct = answers()
    apart = paired_differences(correct, IDENTITIES)["good"]["worst"]
    assert apart.value == pytest.approx(correct["good"].mean() - correct["worst"].mean())
    assert 0 < apart.low < apart.value < apart.high
    assert apart.share == 1


def test_of_two_methods_with_the_same_hits_neither_is_ahead() -> None:
    worst = answers()["worst"]
    same = paired_differences({"one": worst, "other": worst}, IDENTITIES)["one"]["other"]
    assert (same.low, same.value, same.high, same.share) == (0, 0, 0, 0)


def test_every_two_methods_are_compared_from_both_sides() -> None:
    found = paired_differences(answers(), IDENTITIES)
    assert {a: set(row) for a, row in found.items()} == {
        "good": {"near", "worst"},
        "near": {"good", "worst"},
        "worst": {"good", "near"},
    }
    there, back = found["near"]["good"], found["good"]["near"]
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert there.share + back.share <= 1


def test_difference_and_share_equal_a_bootstrap_that_copies_rows() -> None:
    correct = answers(seed=1)
    few = np.arange(0, 60)  # 15 subjects, so that the share is neither 0 nor 1
    a, b, people = correct["good"][few], correct["near"][few[::-1]], IDENTITIES[few]
    found = paired_differences({"a": a, "b": b}, people, bootstrap=400, seed=5)["a"]["b"]
    generator = np.random.default_rng(5)
    differences = []
    for _ in range(400):
        rows = np.concatenate([np.flatnonzero(people == who) for who in generator.integers(15, size=15)])
        differences.append(np.mean([float(a[row]) - float(b[row]) for row in rows]))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(differences, PERCENTILES)), abs=1e-9)
    ahead = sum(difference > 1e-9 for difference in differences) / 400
    assert found.share == pytest.approx(ahead)
    assert 0 < ahead < 1


@pytest.mark.parametrize(("identities", "subjects"), [([7, 7, 9], 2), ([7, -1, -1], 3), ([-1], 1)])
def test_each_face_of_nobody_known_is_a_subject_of_its_own(identities: list[int], subjects: int) -> None:
    assert count_subjects(np.asarray(identities, np.int32)) == subjects
