"""Rows that repeat another one: an image id, or a vector."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.columns import IMAGE_ID, Digests, Identities
from training.errors import DataError


def check_image_ids(digests: Digests, files: Sequence[Path], file_rows: Sequence[int]) -> None:
    """Refuse an image id, by its digest [N, 2], that occurs before. Raises DataError."""
    later, _ = _repeats(digests)
    if len(later):
        raise refusal("image_id occurs before", IMAGE_ID, int(later.min()), files, file_rows)


def check_vectors(
    digests: Digests, identities: Identities, space: str, files: Sequence[Path], file_rows: Sequence[int]
) -> None:
    """Refuse a vector, by its digest [N, 2], that occurs before: one photo stands there twice, or rows were shifted.

    Of one identity it would be found by itself; of two, which no encoder gives the same direction, one is wrong.

    Raises:
        DataError: with the later row.
    """
    later, earlier = _repeats(digests)
    if len(later):
        first = int(later.argmin())
        other = identities[later[first]] != identities[earlier[first]]
        reason = f"{likeness(space)} as in a row before" + (", of another identity" if other else "")
        raise refusal(reason, space, int(later[first]), files, file_rows)


def first_shared(digests: Digests, others: Digests) -> int | None:
    """The first row, by its digest [N, 2], that is among others [M, 2]; none where they have nothing in common."""
    later, earlier = _repeats(np.concatenate([others, digests]))
    shared = later[(earlier < len(others)) & (later >= len(others))]
    return int(shared.min()) - len(others) if len(shared) else None


def likeness(column: str) -> str:
    """What rows with one digest in a column have in common; nothing that trains or judges looks at a length."""
    return "same image_id" if column == IMAGE_ID else "same vector up to its length"


def _repeats(digests: Digests) -> tuple[Identities, Identities]:
    """Rows that equal an earlier one, and the latest such one of each."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: equal rows stay in file order
    same = (digests[order[1:]] == digests[order[:-1]]).all(axis=1)
    return order[1:][same], order[:-1][same]


def refusal(reason: str, column: str, row: int, files: Sequence[Path], file_rows: Sequence[int]) -> DataError:
    """The error for a row counted over all files, with its number in its own."""
    first = np.cumsum([0, *file_rows[:-1]])
    number = int(np.searchsorted(first, row, side="right")) - 1
    return DataError(str(files[number]), reason, column=column, row=row - int(first[number]))
