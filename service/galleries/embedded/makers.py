"""Which translator made each feature of a copy in memory, by slot."""

import numpy as np

from service.galleries.embedded.columns import NumberColumn, SlotArray

NATIVE = -1


class Makers:
    """How many features each translator made, kept as features come and go. Not thread-safe."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # of every translator that ever made one here: there are few
        self._made: list[int] = []
        self._number_at = NumberColumn(np.int32, NATIVE)

    def put(self, slots: SlotArray, translator: str | None) -> None:
        """Say what made the features of slots [N]; None: they are native."""
        self.remove(slots)
        if translator is None:
            return
        number = self._numbers.setdefault(translator, len(self._numbers))
        if number == len(self._made):
            self._made.append(0)
        self._made[number] += len(slots)
        self._number_at.put(slots, number)

    def remove(self, slots: SlotArray) -> None:
        """Say that slots [N] hold no feature any more, if they did."""
        before = self._number_at.take(slots)
        numbers, counts = np.unique(before[before != NATIVE], return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            self._made[number] -= count
        if len(numbers):
            self._number_at.put(slots, NATIVE)

    def counts(self) -> dict[str, int]:
        """How many features each translator made, of those that made any."""
        return {translator: self._made[number] for translator, number in self._numbers.items() if self._made[number]}
