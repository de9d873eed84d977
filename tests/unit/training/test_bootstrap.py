"""Intervals over identities: against an oracle that copies rows, exact bounds, and on cases with a known answer."""

from itertools import product

import numpy as np
import pytest

from training.bootstrap import (
    PERCENTILES,
    Difference,
    count_subjects,
    identity_groups,
    interval_of,
    paired_differences,
    rate_of_all,
    resamples,
)

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


def test_of_two_methods_with_the_same_hits_neither_is_ahead_and_200_people_say_no_more_than_they_can() -> None:
    worst = answers()["worst"]
    same = paired_differences({"one": worst, "other": worst}, IDENTITIES)["one"]["other"]
    assert (same.value, same.share) == (0, 0)
    assert (same.low, same.high) == pytest.approx((-0.01828, 0.01828), abs=1e-5)


def test_a_method_ahead_on_everybody_is_not_ahead_for_certain() -> None:
    hits = {"all": np.ones(60, np.bool_), "none": np.zeros(60, np.bool_)}
    found = paired_differences(hits, np.arange(60, dtype=np.int32))
    assert (found["all"]["none"].low, found["all"]["none"].high) == pytest.approx((0.9404, 1), abs=1e-4)
    assert (found["none"]["all"].low, found["none"]["all"].high) == pytest.approx((-1, -0.9404), abs=1e-4)


def differing(won: int, lost: int, subjects: int = 830, faces: int = 1) -> Difference:
    """Of so many subjects one method alone finds the first `won`, the other alone the `lost` after them."""
    who = np.repeat(np.arange(subjects, dtype=np.int32), faces)
    hits = {"one": (who < won) | (who >= won + lost), "other": who >= won}
    return paired_differences(hits, who)["one"]["other"]


def as_lopsided(won: int, lost: int) -> float:
    """Oracle: the share of all ways to toss so many coins that are at least as lopsided."""
    tosses = [abs(2 * sum(heads) - won - lost) for heads in product((0, 1), repeat=won + lost)]
    return float(np.mean(np.array(tosses) >= abs(won - lost)))


@pytest.mark.parametrize("faces", [1, 3])
@pytest.mark.parametrize("split", [(4, 0), (5, 0), (6, 0), (0, 6), (0, 5), (7, 1), (8, 1), (1, 8), (9, 2), (10, 2)])
def test_an_interval_leaves_zero_only_where_an_exact_sign_test_of_the_subjects_that_differ_does(
    split: tuple[int, int], faces: int
) -> None:
    found = differing(*split, faces=faces)
    assert (found.low > 0 or found.high < 0) == (as_lopsided(*split) <= 0.05), found
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("split", [(1, 0), (2, 0), (1, 1), (3, 1), (0, 5)])
def test_subjects_too_few_for_any_sign_test_say_no_more_than_none_that_differ(split: tuple[int, int]) -> None:
    same, found = differing(0, 0), differing(*split)
    assert found.low <= same.low
    assert found.high >= same.high


def test_methods_that_are_level_on_everybody_by_other_faces_are_no_more_alike_than_the_same() -> None:
    people = np.repeat(np.arange(200, dtype=np.int32), 2)
    first = np.tile([True, False], 200)
    found = paired_differences({"one": first, "other": ~first}, people)["one"]["other"]
    assert (found.low, found.high) == pytest.approx((-0.01828, 0.01828), abs=1e-5)


@pytest.mark.parametrize("identities", [1, 2, 60, 700])
def test_the_rate_of_all_is_where_all_succeed_once_in_forty_times(identities: int) -> None:
    """Oracle: the definition of Clopper and Pearson's bound, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if np.prod(np.full(identities, middle)) > 0.025 else (middle, high)
    assert rate_of_all(identities) == pytest.approx(low)


@pytest.mark.parametrize(("rate", "low", "high"), [(1.0, 0.9404, 1.0), (0.0, 0.0, 0.0596)])
def test_resamples_that_all_agree_leave_an_interval_as_wide_as_the_identities_are_few(
    rate: float, low: float, high: float
) -> None:
    found = interval_of(rate, np.full(100, rate), identities=60)
    assert (found.low, found.value, found.high) == pytest.approx((low, rate, high), abs=1e-4)


def test_a_rate_that_is_not_at_its_limit_keeps_its_percentiles() -> None:
    drawn = np.random.default_rng(0).normal(0.7, 0.05, 1000)
    found = interval_of(0.7, drawn, identities=60)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, PERCENTILES)))


def covered(truth: float, hits: np.ndarray, identities: np.ndarray) -> bool:
    groups, count = identity_groups(identities)
    found, shown = np.bincount(groups, weights=hits), np.bincount(groups)
    drawn = np.concatenate([(w @ found) / (w @ shown) for w in resamples(count, 300, seed=0)])
    interval = interval_of(float(hits.mean()), drawn, count)
    return interval.low <= truth <= interval.high


@pytest.mark.parametrize("lost", [0.002, 0.01, 0.03])  # of all people, wholly
@pytest.mark.parametrize("missed", [0, 0.002])  # of the faces of the others
def test_intervals_of_60_people_hold_rates_near_1_as_often_as_they_promise(lost: float, missed: float) -> None:
    generator = np.random.default_rng(0)
    people = np.repeat(np.arange(60), 4).astype(np.int32)
    held = []
    for _ in range(300):
        found = np.repeat(generator.random(60) >= lost, 4) & (generator.random(240) >= missed)
        held.append(covered((1 - lost) * (1 - missed), found, people))
    assert np.mean(held) > 0.93


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
