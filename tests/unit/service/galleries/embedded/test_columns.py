"""Columns by slot: what is put is taken, whatever block it lies in and however wide it is."""

import numpy as np
import pytest

from service.galleries.embedded.columns import BLOCK_ROWS, FreeSlots, NumberColumn, TextColumn
from service.galleries.embedded.tag_sets import TagSets

SCATTERED = np.array([2 * BLOCK_ROWS + 1, 0, BLOCK_ROWS - 1, BLOCK_ROWS])


def test_numbers_are_taken_as_they_were_put() -> None:
    column = NumberColumn(np.int32, -1)
    column.put(SCATTERED, np.array([10, 20, 30, 40], np.int32))
    assert column.take(SCATTERED[::-1]).tolist() == [40, 30, 20, 10]
    assert column.take(np.array([1, 5 * BLOCK_ROWS])).tolist() == [-1, -1]
    column.put(SCATTERED[:2], -1)
    assert [column.at(slot) for slot in SCATTERED.tolist()] == [-1, -1, 30, 40]


def test_a_longer_text_widens_its_block_and_keeps_the_others() -> None:
    column, longest = TextColumn(), "x" * 128
    column.put(SCATTERED, ["a", "b:1", "c", "dd"])
    column.put(np.array([1]), [longest])
    assert [column.at(slot) for slot in SCATTERED.tolist()] == ["a", "b:1", "c", "dd"]
    assert column.at(1) == longest
    column.clear(np.array([0, 1]))
    assert [column.at(slot) for slot in (0, 1, BLOCK_ROWS - 1)] == ["", "", "c"]


def test_freed_slots_are_taken_again_before_new_ones() -> None:
    slots = FreeSlots()
    assert slots.next(3) == [0, 1, 2]
    assert len(slots) == 0, "asking takes nothing"
    slots.take(3)
    slots.give_back([0, 1])
    assert (len(slots), slots.end) == (1, 3)
    assert slots.next(3) == [1, 0, 3]
    slots.take(3)
    assert (len(slots), slots.end) == (4, 4)
    slots.take(0)
    assert slots.next(0) == []


def test_slots_that_are_taken_in_order_leave_the_gaps_free() -> None:
    slots = FreeSlots()
    slots.take_in_order(np.array([1, 2, 5]))
    slots.take_in_order(np.array([6, 9]))
    assert (len(slots), slots.end) == (5, 10)
    assert sorted(slots.next(6)) == [0, 3, 4, 7, 8, 10]


def test_a_set_of_tags_is_kept_as_long_as_a_face_has_it() -> None:
    tag_sets = TagSets()
    first, again, other = tag_sets.take(['["a","b"]', '["a","b"]', '["b"]'])
    assert first == again != other
    assert tag_sets.with_all(("b", "a"))[first]
    assert not tag_sets.with_all(("b", "a"))[other]
    tag_sets.give_back([first])
    assert tag_sets.take(['["a","b"]']) == [first]
    tag_sets.give_back([first, first])
    assert tag_sets.take(['["c"]']) == [first], "its number is used again"
    assert tag_sets.with_all(("c",)).tolist() == [True, False]


@pytest.mark.parametrize("count", [1, 1000])
def test_sets_of_tags_that_come_and_go_do_not_pile_up(count: int) -> None:
    tag_sets = TagSets()
    for round_ in range(5):
        tag_sets.give_back(tag_sets.take(f'["{round_}-{i}"]' for i in range(count)))
    assert len(tag_sets.with_all(())) == count
