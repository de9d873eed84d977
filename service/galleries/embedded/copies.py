"""Writes of galleries and their copies: to disk first, then to memory. For the writer thread."""

import secrets
import sqlite3
from collections.abc import Sequence

import numpy as np

from contract.spaces import FeatureSpace
from service.errors import CopyExistsError, CopyIncompleteError, CopyServesError
from service.galleries.embedded import copy_records
from service.galleries.embedded.claims import Claims, Clock
from service.galleries.embedded.enrolment import rows_of, slots_of
from service.galleries.embedded.feature_blocks import FeatureBlocks
from service.galleries.embedded.memory import MemoryCopy, MemoryGallery
from service.galleries.refusals import (
    COPY_EXISTS,
    COPY_INCOMPLETE,
    COPY_SERVES,
    one_space,
    serves_another,
    too_many_galleries,
)
from service.galleries.values import Claim, Rendition

COPIES_MAX = 2
INCARNATION_BYTES = 8


def create(connection: sqlite3.Connection, name: str, space: FeatureSpace, clock: Clock) -> MemoryGallery:
    """Create a gallery with one empty copy."""
    incarnation = secrets.token_hex(INCARNATION_BYTES)
    key, copy_keys = copy_records.create_gallery(connection, name, incarnation, space)
    return MemoryGallery(name, key, incarnation, space, {space: empty_copy(copy_keys, space, clock)})


def create_once(
    connection: sqlite3.Connection,
    galleries: dict[str, MemoryGallery],
    name: str,
    space: FeatureSpace,
    galleries_max: int,
    clock: Clock,
) -> bool:
    """Add a gallery to those there are; False if there is one that serves this space.

    Raises:
        GallerySpaceMismatchError, GalleryLimitError.
    """
    if name in galleries:
        if galleries[name].serving != space:
            raise serves_another(galleries[name].serving)
        return False
    if len(galleries) >= galleries_max:
        raise too_many_galleries(galleries_max)
    galleries[name] = create(connection, name, space, clock)
    return True


def add(connection: sqlite3.Connection, gallery: MemoryGallery, space: FeatureSpace, clock: Clock) -> None:
    """Begin a second copy. Raises CopyExistsError."""
    if len(gallery.copies) >= COPIES_MAX or space.id in [copy.id for copy in gallery.copies]:
        raise CopyExistsError(COPY_EXISTS)
    keys = copy_records.add_copy(connection, gallery.key, space)
    with gallery.lock.write():
        gallery.copies[space] = empty_copy(keys, space, clock)


def drop_copy(
    connection: sqlite3.Connection, gallery: MemoryGallery, space: FeatureSpace, key: str | None
) -> tuple[int, int] | None:
    """Let a copy that does not serve be gone; returns the keys of gallery and copy, by which it is to be erased.

    Raises:
        CopyServesError.
    """
    held = _copy_with(gallery, space, key)
    if held is None:
        return None
    if space == gallery.serving:
        raise CopyServesError(COPY_SERVES)
    copy = held.keys.copy
    copy_records.drop_copy(connection, copy)
    with gallery.lock.write():
        del gallery.copies[space]
    return gallery.key, copy


def serve(
    connection: sqlite3.Connection, gallery: MemoryGallery, space: FeatureSpace, key: str | None, complete: bool
) -> None:
    """Let a copy serve. Raises CopyIncompleteError."""
    copy = _copy_with(gallery, space, key)
    if copy is None or (complete and len(copy.features) < len(gallery.roster.faces)):
        raise CopyIncompleteError(COPY_INCOMPLETE)
    copy_records.serve(connection, gallery.key, copy.keys.space)
    gallery.serving = space


def claim(
    connection: sqlite3.Connection, gallery: MemoryGallery, space: FeatureSpace, limit: int, lease_ms: int
) -> Claim | None:
    """Lease the next faces that are missing in a copy. Raises CopiesChangedError."""
    copy = gallery.copy(space)
    leased = copy.claims.leased()
    originals = copy_records.missing_originals(
        connection, gallery.key, copy.keys, start=copy.claims.start, besides=leased, limit=limit
    )
    if not originals:
        return None
    token = copy.claims.begin([original.face.face_id for original in originals], lease_ms)
    return Claim(token, tuple(originals))


def fill(
    connection: sqlite3.Connection, gallery: MemoryGallery, claimed: Claim, renditions: Sequence[Rendition]
) -> int:
    """Write a claim's renditions into a copy; returns how many faces were written. Raises CopiesChangedError."""
    space = one_space(renditions)
    copy = gallery.copy(space)
    places = copy_records.fillable(connection, gallery.key, copy.keys, claimed.originals)
    native = {place: number for place, number in places.items() if claimed.originals[place].space == space}
    translated = _still_wanted(renditions, {p: number for p, number in places.items() if p not in native})
    copy_records.fill(connection, copy.keys, translated, list(native.values()))
    with gallery.lock.write():
        for numbers, rendition in translated:
            copy.features.put(slots_of(numbers), rendition.features, rendition.translator)
        if native:
            features = np.stack([claimed.originals[place].feature for place in native])
            copy.features.put(slots_of(native.values()), features)
    face_ids = copy.claims.end(claimed.token)
    copy.claims.release(claimed.originals[place].face.face_id for place in places)
    if len(places) < len(face_ids):  # one may have been enrolled anew meanwhile and still be missing
        copy.claims.reopen(face_ids)
    return len(places)


def empty_copy(keys: copy_records.CopyKeys, space: FeatureSpace, clock: Clock) -> MemoryCopy:
    """A copy of nothing."""
    return MemoryCopy(keys, FeatureBlocks(space.dim), Claims(clock))


def _copy_with(gallery: MemoryGallery, space: FeatureSpace, key: str | None) -> MemoryCopy | None:
    """The copy in a space, unless another key than its own is asked for."""
    copy = gallery.copies.get(space)
    return copy if copy is not None and key in {None, copy.key} else None


def _still_wanted(renditions: Sequence[Rendition], numbers: dict[int, int]) -> list[tuple[list[int], Rendition]]:
    """Of each rendition the rows that are wanted, with the faces' numbers; `numbers` are by the row among all."""
    wanted, first = [], 0
    for rendition in renditions:
        rows = [row for row in range(len(rendition.features)) if first + row in numbers]
        if rows:
            wanted.append(([numbers[first + row] for row in rows], rows_of(rendition, rows)))
        first += len(rendition.features)
    return wanted
