"""On what a learning curve trains: nested parts of whole identities, and faces of another domain."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.samples import SOURCE, TARGET, sample_columns, sample_pairs, write_pairs
from training.errors import DataError
from training.pairs import DISTRACTOR, PairedFeatures, read_pairs
from training.split import split_identities
from training.training_sets import Kind, Sources, TrainingSet, darker_half, nested_part, training_sets

FACES = 4


@pytest.fixture
def pairs(tmp_path: Path) -> PairedFeatures:
    return sample_pairs(tmp_path)


def sets(
    pairs: PairedFeatures, kinds: list[Kind], counts: list[int], folder: Path, other: PairedFeatures | None = None
) -> list[TrainingSet]:
    return list(training_sets(Sources(pairs, split_identities(pairs), SOURCE, other, 0, folder), kinds, counts))


def test_parts_are_whole_identities_and_nested(pairs: PairedFeatures) -> None:
    rows = split_identities(pairs).training
    parts = [nested_part(pairs, rows, count, seed=3) for count in (5, 8, 13, 27, 999)]
    assert [len(part) for part in parts] == [8, 8, 16, 28, 28]  # the next whole identity of four faces
    for part, greater in pairwise(parts):
        assert set(part) <= set(greater)
    for part in parts:
        inside = np.isin(pairs.identities[rows], pairs.identities[part])
        assert set(rows[inside]) == set(part)


def test_a_part_holds_two_identities_at_least_and_follows_from_its_seed(pairs: PairedFeatures) -> None:
    rows = split_identities(pairs).training
    assert len(np.unique(pairs.identities[nested_part(pairs, rows, 1, seed=0)])) == 2
    first = {tuple(nested_part(pairs, rows, 8, seed)) for seed in range(6)}
    assert len(first) > 1
    assert nested_part(pairs, rows, 8, 0).tolist() == nested_part(pairs, rows, 8, 0).tolist()


def test_a_curve_ends_with_all_rows_and_leaves_out_what_there_is_not(pairs: PairedFeatures, tmp_path: Path) -> None:
    found = sets(pairs, [Kind.CLEAN], [16, 8, 28, 4000], tmp_path / "copies")
    assert [(chosen.asked, len(chosen.rows)) for chosen in found] == [("8", 8), ("16", 16), ("all", 28)]
    assert all(chosen.pairs is pairs for chosen in found)


def test_perturbed_kinds_train_on_the_same_rows_of_worse_pairs(pairs: PairedFeatures, tmp_path: Path) -> None:
    found = sets(pairs, [Kind.CLEAN, Kind.GAUSSIAN, Kind.HALF_MISSING], [8], tmp_path / "copies")
    assert [str(chosen.kind) for chosen in found] == ["clean"] * 2 + ["gaussian"] * 2 + ["half-missing"] * 2
    assert len({chosen.rows.tobytes() for chosen in found}) == 2
    assert len({chosen.pairs.fingerprint for chosen in found}) == 3


def test_the_darker_half_is_that_of_the_darkest_people(pairs: PairedFeatures) -> None:
    assert pairs.images is not None
    rows = split_identities(pairs).training
    people = np.unique(pairs.identities[rows])
    for place, person in enumerate(people):  # the later the darker, with one bright face each that misleads
        shown = np.flatnonzero(pairs.identities == person)
        pairs.images[shown] = 120 - 10 * place
        pairs.images[shown[0]] = 200
    found = darker_half(pairs, rows)
    assert set(pairs.identities[found]) == set(people[-(len(people) // 2) :])
    assert len(found) == FACES * (len(people) // 2)


def test_another_domain_is_compared_with_as_many_rows_of_all_people(pairs: PairedFeatures, tmp_path: Path) -> None:
    found = sets(pairs, [Kind.DARKER_FACES], [8], tmp_path / "copies")
    assert [(str(c.kind), c.asked, len(c.rows)) for c in found] == [("darker-faces", "all", 12), ("clean", "12", 12)]
    assert set(found[0].rows) != set(found[1].rows)


def test_another_data_set_is_trained_on_whole_but_for_its_distractors(pairs: PairedFeatures, tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "other.parquet", sample_columns(identities=5, seed=1))
    other = read_pairs(file, [SOURCE, TARGET], tmp_path / "other")
    other.identities[:2] = DISTRACTOR
    found = sets(pairs, [Kind.CLEAN, Kind.OTHER_DOMAIN], [], tmp_path / "copies", other)
    assert [(str(c.kind), c.asked) for c in found] == [("clean", "18"), ("clean", "all"), ("other-domain", "all")]
    assert found[-1].pairs is other
    assert found[-1].rows.tolist() == list(range(2, 20))


def test_brightness_needs_images(pairs: PairedFeatures, tmp_path: Path) -> None:
    blind = read_pairs(pairs.path, [SOURCE, TARGET], tmp_path / "blind")
    with pytest.raises(DataError, match="column image: read without images"):
        darker_half(blind, split_identities(blind).training)
