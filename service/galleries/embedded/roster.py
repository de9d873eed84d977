"""Who is in a gallery: everything of a face but its features, in compact columns by slot."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.galleries.embedded.columns import FreeSlots, NumberColumn, Numbers, SlotArray, TextColumn
from service.galleries.embedded.tag_sets import TagSets
from service.galleries.values import Where

NOBODY = -1


class Roster:
    """Ids, subjects, tags and times of the faces of a gallery, shared by its copies. Not thread-safe.

    A face has a slot for as long as it is enrolled, and so has a subject. Which face is where, the database knows.
    """

    def __init__(self) -> None:
        self.faces = FreeSlots()
        self.subjects = FreeSlots()
        self._face_ids = TextColumn()
        self._subject_names = TextColumn()
        self._subject_of = NumberColumn(np.int32, NOBODY)
        self._tag_set_of = NumberColumn(np.int32, NOBODY)
        self._enrolled_at_ms = NumberColumn(np.int64, 0)
        self._tag_sets = TagSets()

    def put(
        self, slots: SlotArray, face_ids: Sequence[str], subjects: Numbers, tags: Sequence[str], times_ms: Sequence[int]
    ) -> None:
        """Set faces [N]: their ids, their subjects' slots, their tags as JSON text and when they were enrolled."""
        self._forget_tags(slots)
        self._face_ids.put(slots, face_ids)
        self._subject_of.put(slots, subjects)
        self._tag_set_of.put(slots, np.array(self._tag_sets.take(tags), np.int32))
        self._enrolled_at_ms.put(slots, np.array(times_ms, np.int64))

    def remove(self, slots: SlotArray) -> None:
        """Forget faces [N] and free their slots."""
        self._forget_tags(slots)
        self._face_ids.clear(slots)
        self._subject_of.put(slots, NOBODY)
        self._tag_set_of.put(slots, NOBODY)
        self.faces.give_back(slots.tolist())

    def put_subjects(self, slots: SlotArray, names: Sequence[str]) -> None:
        """Set subjects [N]."""
        self._subject_names.put(slots, names)

    def remove_subjects(self, slots: SlotArray) -> None:
        """Forget subjects [N] and free their slots."""
        self._subject_names.clear(slots)
        self.subjects.give_back(slots.tolist())

    def face_id(self, slot: int) -> str:
        """The id of the face in a slot."""
        return self._face_ids.at(slot)

    def subject_name(self, slot: int) -> str:
        """The subject of the face in a slot."""
        return self._subject_names.at(self._subject_of.at(slot))

    def subjects_of(self, slots: SlotArray) -> Numbers:
        """The subjects' slots [N] of faces [N]."""
        return self._subject_of.take(slots)

    def tag_sets_with(self, where: Where) -> NDArray[np.bool_] | None:
        """Which sets of tags pass a filter, for `passing`; None if all do."""
        return self._tag_sets.with_all(where.tags) if where.tags else None

    def passing(self, block: int, where: Where, tag_sets: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """Which slots [8192] of a block pass a filter, empty ones by chance; None if all do."""
        passing = None if tag_sets is None else tag_sets[self._tag_set_of.blocks[block]]
        for bound_ms, compare in ((where.from_ms, np.greater_equal), (where.until_ms, np.less)):
            if bound_ms is not None:
                in_time = compare(self._enrolled_at_ms.blocks[block], bound_ms)
                passing = in_time if passing is None else passing & in_time
        return passing

    def _forget_tags(self, slots: SlotArray) -> None:
        before = self._tag_set_of.take(slots)
        self._tag_sets.give_back(before[before != NOBODY].tolist())
