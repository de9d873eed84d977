"""What share of a copy's most similar faces an approximate search finds, measured on faces of its own."""

import time
from collections.abc import Sequence
from typing import Final

from service.errors import GalleryTooSmallError
from service.galleries.values import Approximation, Match

# A scan of fewer takes no time to speak of, and an approximation made of few faces would tell of each of them.
FACES_MIN: Final = 1000
PROBES_MAX: Final = 1000
PROBES_AT_ONCE: Final = 16  # so that searches and writes get in between
DEPTHS: Final = (1, 10)
TOP_K: Final = max(DEPTHS) + 1  # what is asked for each probe: the face itself is found too


def check_size(faces: int) -> None:
    """Raise GalleryTooSmallError where a copy holds too few faces for an approximation."""
    if faces < FACES_MIN:
        raise GalleryTooSmallError(f"an approximate search needs {FACES_MIN} faces at least")


class Recall:
    """Counts, over enrolled faces as probes, how many of the nearest other faces were found."""

    def __init__(self) -> None:
        self.probes = 0
        self._wanted = dict.fromkeys(DEPTHS, 0)
        self._found = dict.fromkeys(DEPTHS, 0)

    def add(
        self, face_ids: Sequence[str], exact: Sequence[Sequence[Match]], approximate: Sequence[Sequence[Match]]
    ) -> None:
        """Count for faces [N] the TOP_K matches that an exact and the approximate search gave their features."""
        for face_id, wanted, found in zip(face_ids, exact, approximate, strict=True):
            self.probes += 1
            for depth in DEPTHS:
                nearest = _others(wanted, face_id)[:depth]
                self._wanted[depth] += len(nearest)
                self._found[depth] += len({*nearest} & {*_others(found, face_id)[:depth]})

    def approximation(self, faces: int) -> Approximation:
        """What was measured until now on a copy of so many faces. Raises GalleryTooSmallError: nothing, all went."""
        if not all(self._wanted.values()):
            check_size(0)
        at_1, at_10 = (self._found[depth] / self._wanted[depth] for depth in DEPTHS)
        return Approximation(time.time_ns() // 1_000_000, faces, self.probes, at_1, at_10)


def _others(matches: Sequence[Match], face_id: str) -> list[str]:
    return [match.face_id for match in matches if match.face_id != face_id]
