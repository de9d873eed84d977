"""Sketches a copy while searches and writes go on, and measures what is found by the sketch."""

from functools import partial
from typing import Final

import numpy as np

from contract.vectors import Features
from service.galleries.embedded.columns import SlotArray
from service.galleries.embedded.memory import MemoryCopy, MemoryGallery
from service.galleries.embedded.scan import nearest_faces
from service.galleries.embedded.sketch_scan import nearest_by_sketch, principal_directions
from service.galleries.embedded.threads import Threads
from service.galleries.recall import PROBES_AT_ONCE, PROBES_MAX, TOP_K, Recall, check_size
from service.galleries.values import EVERYWHERE, Approximation, Ranking

SAMPLE_FACES: Final = 16_384  # that the basis is made of


async def sketch(threads: Threads, gallery: MemoryGallery, copy: MemoryCopy) -> Approximation:
    """Give a copy a sketch that is not searched yet, and measure it, in short steps.

    Raises:
        GalleryTooSmallError, GalleryUnavailableError.
    """
    check_size(len(copy.features))
    basis = await threads.read(gallery.lock, lambda: principal_directions(_sample(copy)))
    await threads.write(lambda: _begin(gallery, copy, basis))
    while await threads.read(gallery.lock, copy.features.sketch_next):
        pass
    probes = await threads.read(gallery.lock, lambda: _some(copy.features.slots(), PROBES_MAX, seed=1))
    recall = Recall()
    for start in range(0, len(probes), PROBES_AT_ONCE):
        some = probes[start : start + PROBES_AT_ONCE]
        await threads.read(gallery.lock, partial(_measure, recall, gallery, copy, some))
    return recall.approximation(len(copy.features))


def _sample(copy: MemoryCopy) -> Features:
    _, features = copy.features.take(_some(copy.features.slots(), SAMPLE_FACES, seed=0))
    return features


def _some(slots: SlotArray, count: int, seed: int) -> SlotArray:
    """At most so many slots, by chance, the same each time."""
    chosen: SlotArray = np.random.default_rng(seed).permutation(slots)[:count]
    return chosen


def _begin(gallery: MemoryGallery, copy: MemoryCopy, basis: Features) -> None:
    with gallery.lock.write():
        copy.features.keep_sketch(basis)


def _measure(recall: Recall, gallery: MemoryGallery, copy: MemoryCopy, slots: SlotArray) -> None:
    """Count what both searches find for the faces in these slots, but for those that have gone."""
    slots, probes = copy.features.take(slots)
    if not len(slots):
        return
    exact = nearest_faces(copy.features, gallery.roster, probes, TOP_K, EVERYWHERE)
    approximate = nearest_by_sketch(copy.features, gallery.roster, probes, TOP_K, Ranking.FACES) or exact
    recall.add([gallery.roster.face_id(slot) for slot in slots.tolist()], exact.matches, approximate.matches)
