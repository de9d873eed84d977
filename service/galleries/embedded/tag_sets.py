"""Sets of tags, each kept once however many faces have it."""

import json
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


class TagSets:
    """Numbers the sets of tags in use, so that a filter looks at each set once and at a face's number only."""

    def __init__(self) -> None:
        self._number_of: dict[str, int] = {}  # by the tags as JSON text
        self._texts: list[str] = []
        self._tags: list[frozenset[str]] = []
        self._uses: list[int] = []
        self._free: list[int] = []

    def take(self, texts: Iterable[str]) -> list[int]:
        """The number of each set, given as JSON text, for one more face."""
        return [self._take(text) for text in texts]

    def give_back(self, numbers: Sequence[int]) -> None:
        """Say that of each of these sets one face less has it."""
        for number in numbers:
            self._uses[number] -= 1
            if not self._uses[number]:
                del self._number_of[self._texts[number]]
                self._free.append(number)

    def with_all(self, tags: Sequence[str]) -> NDArray[np.bool_]:
        """Which sets [S] hold all of `tags`."""
        wanted = frozenset(tags)
        return np.array([wanted <= tags for tags in self._tags], np.bool_)

    def _take(self, text: str) -> int:
        number = self._number_of.get(text)
        if number is None:
            number = self._add(text)
        self._uses[number] += 1
        return number

    def _add(self, text: str) -> int:
        tags = frozenset(json.loads(text))
        if self._free:
            number = self._free.pop()
            self._texts[number], self._tags[number] = text, tags
        else:
            number = len(self._texts)
            self._texts.append(text)
            self._tags.append(tags)
            self._uses.append(0)
        self._number_of[text] = number
        return number
