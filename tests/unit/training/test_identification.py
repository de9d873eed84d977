"""Measures of identification against plain loops, ties and known cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import comparison as comparison_module
from training.comparison import Comparison, compare, pool
from training.identification import (
    cmc,
    fnir_at_fpir,
    judge,
    measure,
    rank_1,
    split_probes_gallery,
    tar_at_far,
)

Crowd = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def crowd(seed: int, *, subjects: int = 30, distractors: int = 20, strangers: int = 10, noise: float = 0.9) -> Crowd:
    """Probes and gallery around one direction per subject; the first strangers are enrolled nowhere."""
    generator = np.random.default_rng(seed)
    people = generator.standard_normal((subjects, 8)).astype(np.float32)
    probe_identities = generator.integers(subjects, size=3 * subjects).astype(np.int32)
    gallery_identities = generator.integers(strangers, subjects, size=2 * subjects).astype(np.int32)
    probes = people[probe_identities] + noise * generator.standard_normal((3 * subjects, 8)).astype(np.float32)
    enrolled = people[gallery_identities] + noise * generator.standard_normal((2 * subjects, 8)).astype(np.float32)
    others = generator.standard_normal((distractors, 8)).astype(np.float32)
    gallery = np.concatenate([enrolled, others])
    return probes, probe_identities, gallery, np.append(gallery_identities, np.full(distractors, -1)).astype(np.int32)


def similarity_loops(probes: np.ndarray, gallery: np.ndarray) -> list[list[float]]:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / (np.sqrt(a @ a) * np.sqrt(b @ b)))

    return [[cosine(p.astype(float), g.astype(float)) for g in gallery] for p in probes]


def naive_ranks(people: Crowd) -> list[int]:
    probes, probe_identities, gallery, gallery_identities = people
    ranks = []
    for row, who in zip(similarity_loops(probes, gallery), probe_identities, strict=True):
        own = [s for s, g in zip(row, gallery_identities, strict=True) if g == who and who >= 0]
        others = [s for s, g in zip(row, gallery_identities, strict=True) if not (g == who and who >= 0)]
        ranks.append(1 + sum(s >= max(own) for s in others) if own else 0)
    return ranks


def naive_threshold(impostors: list[float], rate: float) -> float:
    """The lowest observed impostor similarity that at most the allowed number of impostors exceed."""
    allowed, lowest = int(rate * len(impostors) + 1e-9), max(impostors)
    for exceeding, similarity in enumerate(sorted(impostors, reverse=True)):  # no two of these are equal
        if exceeding <= allowed:
            lowest = similarity
    return lowest


@pytest.mark.parametrize("seed", range(5))
def test_ranks_equal_plain_loops(seed: int) -> None:
    people = crowd(seed)
    assert compare(*people).ranks.tolist() == naive_ranks(people)


@pytest.mark.parametrize("blocks", [(1, 1), (7, 5), (1000, 1000)])
def test_block_sizes_change_nothing(blocks: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    people = crowd(3)
    expected = compare(*people)
    monkeypatch.setattr(comparison_module, "PROBE_BLOCK", blocks[0])
    monkeypatch.setattr(comparison_module, "GALLERY_BLOCK", blocks[1])
    monkeypatch.setattr(comparison_module, "PAIR_BLOCK", 3)
    found = compare(*people)
    assert found.ranks.tolist() == expected.ranks.tolist()
    np.testing.assert_allclose(found.tail, expected.tail, atol=1e-6)
    np.testing.assert_allclose(found.genuine, expected.genuine, atol=1e-6)


def test_rank_1_counts_mated_probes_only() -> None:
    people = crowd(1)
    ranks = [rank for rank in naive_ranks(people) if rank > 0]
    assert len(ranks) < len(people[0])  # some probes have nobody to find
    assert rank_1(compare(*people), bootstrap=10).value == pytest.approx(sum(r == 1 for r in ranks) / len(ranks))


def test_cmc_equals_plain_loops_and_rises() -> None:
    people = crowd(2)
    ranks = [rank for rank in naive_ranks(people) if rank > 0]
    curve = cmc(compare(*people), 20)
    assert curve.tolist() == pytest.approx([sum(r <= k for r in ranks) / len(ranks) for k in range(1, 21)])
    assert curve[0] < curve[-1]


def test_cmc_falls_as_distractors_join_the_gallery() -> None:
    probes, probe_identities, gallery, gallery_identities = crowd(4, distractors=300)
    few = slice(0, 60 + 10)
    alone = cmc(compare(probes, probe_identities, gallery[few], gallery_identities[few]), 5)
    crowded = cmc(compare(probes, probe_identities, gallery, gallery_identities), 5)
    assert (crowded <= alone).all()
    assert crowded[0] < alone[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rate", ["1e-1", "1e-2", "1e-3"])
def test_tar_equals_plain_loops(seed: int, rate: str) -> None:
    people = crowd(seed)
    rows = similarity_loops(people[0], people[2])
    pairs = [(s, p == g) for row, p in zip(rows, people[1], strict=True) for s, g in zip(row, people[3], strict=True)]
    threshold = naive_threshold([s for s, same in pairs if not same], float(rate))
    genuine = [s for s, same in pairs if same]
    expected = sum(s > threshold for s in genuine) / len(genuine)
    found = tar_at_far(compare(*people, tail_share=1.0), (rate,), bootstrap=10)[rate].value
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rate", ["0.2", "0.05"])
def test_fnir_equals_plain_loops(seed: int, rate: str) -> None:
    people = crowd(seed)
    rows = similarity_loops(people[0], people[2])
    searches, misses = [], []
    for row, who in zip(rows, people[1], strict=True):
        searches.append(max(s for s, g in zip(row, people[3], strict=True) if g != who))
    threshold = naive_threshold(searches, float(rate))
    for row, who, best_other in zip(rows, people[1], searches, strict=True):
        own = [s for s, g in zip(row, people[3], strict=True) if g == who]
        if own:
            misses.append(not (max(own) > best_other and max(own) > threshold))
    found = fnir_at_fpir(compare(*people), (rate,), bootstrap=10)[rate].value
    assert found == pytest.approx(sum(misses) / len(misses))


def test_a_tie_counts_against_the_probe() -> None:
    probes = np.asarray([[1, 2, 3]], np.float32)
    gallery = np.asarray([[1, 2, 3], [2, 4, 6]], np.float32)  # somebody else lies in the very same direction
    found = compare(probes, np.asarray([5], np.int32), gallery, np.asarray([5, 6], np.int32))
    assert found.ranks.tolist() == [2]


def test_one_subject_with_many_faces_needs_only_its_best() -> None:
    probes = np.asarray([[1, 0]], np.float32)
    gallery = np.asarray([[0, 1], [1, 0.1], [1, 1]], np.float32)
    found = compare(probes, np.asarray([0], np.int32), gallery, np.asarray([0, 0, 1], np.int32))
    assert found.ranks.tolist() == [1]


def test_distractors_mate_with_nobody_not_even_with_unknown_probes() -> None:
    probes = np.asarray([[1, 0], [0, 1]], np.float32)
    found = compare(probes, np.asarray([-1, 3], np.int32), probes, np.asarray([-1, 3], np.int32))
    assert found.mated.tolist() == [False, True]
    assert found.impostors.tolist() == [2, 1]


def test_a_rate_that_no_impostor_may_reach_is_left_out() -> None:
    people = crowd(0)  # 90 searches: 0.003 allows none, 0.02 allows one
    assert set(fnir_at_fpir(compare(*people), ("0.02", "0.003"), bootstrap=10)) == {"0.02"}


def test_a_rate_beyond_the_kept_tail_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison_module, "TAIL_MIN", 10)
    with pytest.raises(ValueError, match="beyond the impostor tail"):
        tar_at_far(compare(*crowd(0)), ("1e-1",), bootstrap=10)


def test_the_kept_tail_holds_the_highest_impostors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison_module, "PROBE_BLOCK", 4)
    monkeypatch.setattr(comparison_module, "GALLERY_BLOCK", 9)
    monkeypatch.setattr(comparison_module, "TAIL_MIN", 10)
    people = crowd(0)
    tail = compare(*people, tail_share=0.01)
    everything = compare(*people, tail_share=1.0)
    assert 10 < len(tail.tail) < len(everything.tail)
    np.testing.assert_allclose(tail.tail, everything.tail[: len(tail.tail)], atol=1e-6)


def test_pooled_comparisons_are_those_of_all_their_probes() -> None:
    """Oracle: one gallery is searched by two halves of the probes; together they are the whole search."""
    probes, names, gallery, owners = crowd(0)
    halves = [compare(probes[rows], names[rows], gallery, owners) for rows in (slice(40), slice(40, None))]
    pooled, whole = pool(halves), compare(probes, names, gallery, owners, tail_share=1.0)
    for name in ("probe_identities", "best_genuine", "best_impostor", "ranks", "impostors", "tail"):
        np.testing.assert_allclose(getattr(pooled, name), getattr(whole, name), atol=1e-6)
    assert measure(pooled, bootstrap=50) == measure(whole, bootstrap=50)


def test_a_pool_keeps_no_more_of_the_tails_than_all_of_them_reach_down_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison_module, "TAIL_MIN", 10)
    probes, names, gallery, owners = crowd(0)
    shares = ((slice(40), 0.05), (slice(40, None), 0.5))
    pooled = pool([compare(probes[rows], names[rows], gallery, owners, tail_share=share) for rows, share in shares])
    whole = compare(probes, names, gallery, owners, tail_share=1.0)
    np.testing.assert_allclose(pooled.tail, whole.tail[: len(pooled.tail)], atol=1e-6)
    assert len(pooled.tail) < 0.5 * len(whole.tail)


def test_nobody_to_find_is_refused() -> None:
    probes, _, gallery, gallery_identities = crowd(0)
    strangers = np.full(len(probes), 99, np.int32)
    with pytest.raises(ValueError, match="no probe has its subject"):
        judge(probes, strangers, gallery, gallery_identities)


def test_a_gallery_of_nobody_else_is_refused() -> None:
    features = np.asarray([[1.0, 0.0]], np.float32)
    with pytest.raises(ValueError, match="nobody but"):
        judge(features, np.asarray([1], np.int32), features, np.asarray([1], np.int32))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p, i, g, j: (p[:, :4], i, g, j), "dimension"),
        (lambda p, i, g, j: (p, i[:3], g, j), "differ in number"),
        (lambda p, i, g, j: (p[:0], i[:0], g, j), "no probes"),
        (lambda p, i, g, j: (p, i, g[:0], j[:0]), "empty gallery"),
    ],
)
def test_shapes_that_disagree_are_refused(change: object, reason: str) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match=reason):
        compare(*change(*crowd(0)))


def test_intervals_hold_the_value_and_repeat_by_seed() -> None:
    people = crowd(5, subjects=60)
    first, again, other = (
        judge(*people, bootstrap=200),
        judge(*people, bootstrap=200),
        judge(*people, bootstrap=200, seed=1),
    )
    assert first == again
    assert first.rank_1 != other.rank_1
    for interval in (first.rank_1, *first.tar_at_far.values(), *first.fnir_at_fpir.values()):
        assert interval.low <= interval.value <= interval.high
    assert first.rank_1.low < first.rank_1.high


def test_the_bootstrap_equals_one_that_copies_rows() -> None:
    """Oracle: draw identities, repeat their rows, and measure anew."""
    people = crowd(6, subjects=25)
    whole = compare(*people, tail_share=1.0)
    found = tar_at_far(whole, ("1e-2",), bootstrap=300, seed=3)["1e-2"]
    generator = np.random.default_rng(3)
    who = np.unique(people[1])
    rows = np.asarray(similarity_loops(people[0], people[2]))
    genuine = people[1][:, None] == people[3][None]
    rates = []
    for _ in range(300):
        drawn = np.concatenate(
            [np.flatnonzero(people[1] == who[i]) for i in generator.integers(len(who), size=len(who))]
        )
        impostors = np.sort(rows[drawn][~genuine[drawn]])[::-1]
        rates.append((rows[drawn][genuine[drawn]] > impostors[int(0.01 * len(impostors) + 1e-9)]).mean())
    low, high = np.percentile(rates, (2.5, 97.5))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)


def test_intervals_narrow_with_more_identities() -> None:
    few, many = rank_1(compare(*crowd(7, subjects=20))), rank_1(compare(*crowd(7, subjects=400)))
    assert many.high - many.low < few.high - few.low


def test_identities_are_drawn_whole() -> None:
    """Copies of each probe add no certainty."""
    probes, probe_identities, gallery, gallery_identities = crowd(8)
    once = rank_1(compare(probes, probe_identities, gallery, gallery_identities))
    copies = compare(np.tile(probes, (5, 1)), np.tile(probe_identities, 5), gallery, gallery_identities)
    assert rank_1(copies) == once


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), noise=st.floats(0.01, 5))
def test_every_comparison_is_sound(seed: int, noise: float) -> None:
    people = crowd(seed, subjects=12, distractors=3, strangers=2, noise=noise)
    found: Comparison = compare(*people)
    pairs = len(people[0]) * len(people[2])
    assert len(found.genuine) + found.impostors.sum() == pairs
    assert (np.diff(found.tail) <= 0).all()
    assert (found.ranks[found.mated] == 1).tolist() == (
        found.best_genuine[found.mated] - comparison_module.TIE > found.best_impostor[found.mated]
    ).tolist()


def test_one_face_of_each_identity_is_enrolled_and_the_rest_are_probes() -> None:
    identities = np.asarray([3, 3, 3, 5, 9, 9, -1, 3, -1], np.int32)
    probes, gallery = split_probes_gallery(identities, seed=0)
    assert sorted([*probes, *gallery]) == list(range(9))
    assert sorted(identities[gallery]) == [-1, -1, 3, 5, 9]
    assert set(identities[probes]) == {3, 9}  # the lone 5 is a distractor
    assert (np.diff(probes) > 0).all()
    assert (np.diff(gallery) > 0).all()


def test_the_seed_decides_who_is_enrolled_with_which_face() -> None:
    identities = np.repeat(np.arange(200), 4).astype(np.int32)
    first, again, other = (split_probes_gallery(identities, seed)[1] for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()
    assert len(set(first % 4)) == 4  # any of its faces, not always the first
