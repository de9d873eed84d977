"""The use case: bring faces into every copy of a gallery that they have a route to, and write all or none."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from contract.manifest import TranslatorManifest
from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.bounds import Deadline
from service.duplicates import ALLOWED, Duplicate, DuplicatePolicy, OnDuplicate, within_gallery, within_request
from service.entry import Brought, Entry, asking_store, unit_length
from service.errors import (
    CopiesChangedError,
    DeadlineExceededError,
    DuplicateFaceError,
    EngineError,
    GallerySpaceMismatchError,
    NoRouteError,
    OverloadedError,
    UnknownModelError,
)
from service.galleries.base import GalleryStore
from service.galleries.values import Face, GalleryInfo, Rendition
from service.live_catalog import LiveCatalog
from service.metrics import Metrics
from service.thresholds import least_similarity
from service.translation import Translation

COPIES_RETRIES_MAX: Final = 3
OTHER_COPY_TIME_SHARE: Final = 0.5  # of what is left to the request: an engine that hangs leaves the rest to the store
# A copy that does not serve can do without a face for now: whoever fills it translates the face as any it lacks.
LEFT_TO_FILL: Final = (
    NoRouteError,
    UnknownModelError,
    GallerySpaceMismatchError,
    EngineError,
    OverloadedError,
    DeadlineExceededError,
)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """How many faces are new, which rows replaced one, which are duplicates, and what translated them for searches.

    `translator` None: they came in the space.
    `inference_s` and `gallery_s` are seconds in the engine (None: it was not asked) and in the store.
    """

    new: int
    replaced_rows: tuple[int, ...]
    duplicates: tuple[Duplicate, ...]
    translator: TranslatorManifest | None
    inference_s: float | None
    gallery_s: float


class Enrolment:
    """Fills galleries with features of any space that has a route into the copy that serves."""

    def __init__(
        self, translation: Translation, galleries: GalleryStore, catalog: LiveCatalog, metrics: Metrics
    ) -> None:
        self._entry = Entry(translation, catalog)
        self._galleries = galleries
        self._metrics = metrics

    async def enrol(
        self,
        source_model: str,
        gallery: GalleryInfo,
        faces: Sequence[Face],
        features: Features,
        deadline: Deadline,
        policy: DuplicatePolicy = ALLOWED,
    ) -> Enrolled:
        """Add or replace faces [N] with raw features [N, ds] of `source_model`, all or none.

        Raises:
            DuplicateFaceError: a face is a duplicate, and such are to be rejected.
            UncalibratedError: the rate from which on a face is a duplicate cannot be honoured.
            CopiesChangedError: the gallery's copies changed at every attempt.
            UnknownGalleryError, GalleryLimitError, DeadlineExceededError, GalleryUnavailableError; see also
            `Entry.bring`.
        """
        for _ in range(COPIES_RETRIES_MAX):
            try:
                return await self._enrol(source_model, gallery, faces, features, deadline, policy)
            except CopiesChangedError:
                async with asking_store(deadline):
                    gallery = await self._galleries.info(gallery.name)
        return await self._enrol(source_model, gallery, faces, features, deadline, policy)

    async def _enrol(
        self,
        source_model: str,
        gallery: GalleryInfo,
        faces: Sequence[Face],
        features: Features,
        deadline: Deadline,
        policy: DuplicatePolicy,
    ) -> Enrolled:
        space = self._entry.source_space(source_model, gallery.space)
        # Every copy is made from what is kept, now as in a later migration.
        original = Rendition(space, unit_length(features, space.dim))
        brought = {gallery.space: await self._entry.bring(source_model, gallery.space, original.features, deadline)}
        for copy in gallery.copies:
            if copy.space != gallery.space and (other := await self._bring(original, copy.space, deadline)):
                brought[copy.space] = other
        started, serving = time.monotonic(), brought[gallery.space]
        duplicates = await self._duplicates(gallery, faces, serving, deadline, policy)
        translated = [rendition for place, b in brought.items() if (rendition := _rendition(place, b)) is not None]
        async with asking_store(deadline):
            new = await self._galleries.upsert(gallery.name, faces, original, translated)
        labels = (self._galleries.name, self._metrics.gallery_label(gallery.name))
        self._metrics.gallery_enrolled_faces.labels(*labels).inc(len(faces))
        return Enrolled(
            new=sum(new),
            replaced_rows=tuple(row for row, is_new in enumerate(new) if not is_new),
            duplicates=duplicates,
            translator=serving.translator,
            inference_s=_inference_s(brought.values()),
            gallery_s=time.monotonic() - started,
        )

    async def _bring(self, original: Rendition, space: FeatureSpace, deadline: Deadline) -> Brought | None:
        """Into a copy that does not serve; None where the original is in its space, or cannot be brought there now."""
        source = original.space
        try:
            if source.id == space.id or self._entry.source_space(source.id, space) != source:
                return None
            until = Deadline(time.monotonic() + OTHER_COPY_TIME_SHARE * deadline.remaining_ms() / 1000)
            return await self._entry.bring(source.id, space, original.features, until)
        except LEFT_TO_FILL:
            return None

    async def _duplicates(
        self,
        gallery: GalleryInfo,
        faces: Sequence[Face],
        serving: Brought,
        deadline: Deadline,
        policy: DuplicatePolicy,
    ) -> tuple[Duplicate, ...]:
        if policy.on_duplicate is OnDuplicate.ALLOW:
            return ()
        calibration = await self._entry.calibration(serving.translator, gallery.copies[0], with_themselves=True)
        least = least_similarity(policy.threshold, calibration, 0)
        if least is None:
            raise ValueError("a policy that does not allow duplicates has a threshold")
        among_themselves = await asyncio.to_thread(within_request, faces, serving.features, least, deadline)
        enrolled = await within_gallery(self._galleries, gallery, faces, serving.features, least, deadline)
        duplicates = tuple(
            max((found[row] for found in (enrolled, among_themselves) if row in found), key=lambda d: d.similarity)
            for row in sorted(enrolled.keys() | among_themselves.keys())
        )
        if duplicates and policy.on_duplicate is OnDuplicate.REJECT:
            row = duplicates[0].row
            raise DuplicateFaceError(f"row {row}: it looks like a face of another subject", row=row)
        return duplicates


def _rendition(space: FeatureSpace, brought: Brought) -> Rendition | None:
    """What was translated; None for what came in the space."""
    if (manifest := brought.translator) is None:
        return None
    return Rendition(space, brought.features, manifest.name, brought.confidence)


def _inference_s(brought: Iterable[Brought]) -> float | None:
    seconds = [b.inference_s for b in brought if b.inference_s is not None]
    return sum(seconds) if seconds else None
