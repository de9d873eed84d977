"""Columns of a gallery in memory: one value a slot, in blocks that grow one at a time."""

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 8192  # grown block by block: no copy of what is there, at most one block to spare

SlotArray = NDArray[np.int64]
Numbers = NDArray[np.signedinteger[Any]]


def by_block(slots: SlotArray) -> Iterator[tuple[int, NDArray[np.intp], SlotArray]]:
    """The blocks that slots [N] lie in: a block's index, which of the N lie in it, and their offsets there."""
    blocks = slots // BLOCK_ROWS
    for block in np.unique(blocks).tolist():
        chosen = np.flatnonzero(blocks == block)
        yield block, chosen, slots[chosen] - block * BLOCK_ROWS


class FreeSlots:
    """Which slots are taken. Those given back are used again before new ones."""

    def __init__(self) -> None:
        self.end = 0  # above every slot that was ever taken
        self._free = array("q")

    def __len__(self) -> int:
        return self.end - len(self._free)

    def next(self, count: int) -> list[int]:
        """The slots that `take(count)` will take."""
        again = self._free[max(0, len(self._free) - count) :].tolist()[::-1]
        return again + list(range(self.end, self.end + count - len(again)))

    def take(self, count: int) -> None:
        """Take the next so many."""
        again = min(count, len(self._free))
        del self._free[len(self._free) - again :]
        self.end += count - again

    def give_back(self, slots: Sequence[int]) -> None:
        """Free slots that are taken."""
        self._free.extend(slots)

    def take_in_order(self, slots: SlotArray) -> None:
        """Take exactly these slots [N], rising and above all that were ever taken."""
        end = int(slots[-1]) + 1
        self._free.extend(np.setdiff1d(np.arange(self.end, end), slots).tolist())
        self.end = end


class NumberColumn:
    """Whole numbers by slot."""

    def __init__(self, dtype: type[np.signedinteger[Any]], fill: int) -> None:
        self.blocks: list[Numbers] = []
        self._dtype = dtype
        self._fill = fill

    def put(self, slots: SlotArray, values: Numbers | int) -> None:
        """Set the values [N] of slots [N], or one value for all."""
        for block, chosen, offsets in by_block(slots):
            while len(self.blocks) <= block:
                self.blocks.append(np.full(BLOCK_ROWS, self._fill, self._dtype))
            self.blocks[block][offsets] = values if isinstance(values, int) else values[chosen]

    def take(self, slots: SlotArray) -> Numbers:
        """The values [N] of slots [N]; of those never set, what the column is filled with."""
        values: Numbers = np.full(len(slots), self._fill, self._dtype)
        for block, chosen, offsets in by_block(slots):
            if block < len(self.blocks):
                values[chosen] = self.blocks[block][offsets]
        return values

    def at(self, slot: int) -> int:
        """The value of one slot."""
        return int(self.blocks[slot // BLOCK_ROWS][slot % BLOCK_ROWS])


class TextColumn:
    """Short texts by slot, each block as wide as its longest ever: a Python string would take 50 bytes more."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.bytes_]] = []

    def put(self, slots: SlotArray, texts: Sequence[str]) -> None:
        """Set the texts of slots [N]."""
        encoded = np.array([text.encode() for text in texts], np.bytes_)  # [N]
        for block, chosen, offsets in by_block(slots):
            while len(self._blocks) <= block:
                self._blocks.append(np.zeros(BLOCK_ROWS, encoded.dtype))
            if self._blocks[block].itemsize < encoded.itemsize:
                self._blocks[block] = self._blocks[block].astype(encoded.dtype)
            self._blocks[block][offsets] = encoded[chosen]

    def clear(self, slots: SlotArray) -> None:
        """Forget the texts of slots [N]."""
        self.put(slots, [""] * len(slots))

    def at(self, slot: int) -> str:
        """The text of one slot."""
        text: bytes = self._blocks[slot // BLOCK_ROWS][slot % BLOCK_ROWS]
        return text.decode()
