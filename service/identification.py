"""The use case: bring probes or faces into a gallery's space, search or enrol them, decide by calibration."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from contract.calibration import Calibration
from contract.errors import VectorError
from contract.manifest import TranslatorManifest
from contract.spaces import FeatureSpace
from contract.vectors import Features, check_features, l2_normalize
from service.bounds import Deadline
from service.errors import (
    DeadlineExceededError,
    GallerySpaceMismatchError,
    InvalidFeatureError,
    NoRouteError,
    UncalibratedError,
)
from service.galleries.base import Face, GalleryInfo, GalleryStore, Matches
from service.live_catalog import LiveCatalog
from service.metrics import Metrics
from service.translation import Translation


@dataclass(frozen=True, slots=True)
class Threshold:
    """Which matches count: from a similarity in [-1, 1] on, or up to a false-match rate; neither: all."""

    min_similarity: float | None = None
    max_fmr: float | None = None


@dataclass(frozen=True, slots=True)
class Identified:
    """The matches of each probe, what their similarities mean, and how far to trust each probe: confidence [N]."""

    matches: Matches
    calibration: Calibration | None
    confidence: NDArray[np.float32] | None
    inference_s: float | None
    gallery_s: float


@dataclass(frozen=True, slots=True)
class Enrolled:
    """How many faces are new, and what translated them (None: they came in the gallery's space)."""

    new: int
    translator: TranslatorManifest | None
    inference_s: float | None
    gallery_s: float


@dataclass(frozen=True, slots=True)
class _Brought:
    """Unit-length features [N, d] in the gallery's space."""

    features: Features
    translator: TranslatorManifest | None = None
    confidence: NDArray[np.float32] | None = None
    inference_s: float | None = None


class Identification:
    """Searches and fills galleries with features of any space that has a route into them."""

    def __init__(
        self, translation: Translation, galleries: GalleryStore, catalog: LiveCatalog, metrics: Metrics
    ) -> None:
        self._translation = translation
        self._galleries = galleries
        self._catalog = catalog
        self._metrics = metrics

    def source_space(self, source_model: str, gallery: GalleryInfo) -> FeatureSpace:
        """The space of features that are to enter a gallery: the gallery's own, or one with a route to it.

        Raises:
            UnknownModelError, NoRouteError.
            GallerySpaceMismatchError: the catalogue gives the gallery's space another dimension.
        """
        if source_model == gallery.space.id:
            return gallery.space
        catalog = self._catalog.current
        catalog.space(source_model)
        if gallery.space.id not in catalog.spaces:
            raise NoRouteError(f"no translator from {source_model!r} to {gallery.space.id!r}")
        manifest = catalog.route(source_model, gallery.space.id)
        _check_target(manifest, gallery)
        return manifest.source

    async def search(
        self,
        source_model: str,
        gallery: GalleryInfo,
        features: Features,
        top_k: int,
        threshold: Threshold,
        deadline: Deadline,
    ) -> Identified:
        """Find raw probes [N, ds] of `source_model` in a gallery.

        Raises:
            UncalibratedError: a false-match rate cannot be honoured on this route.
            InvalidFeatureError, UnknownGalleryError, DeadlineExceededError, GalleryUnavailableError; see also
            `source_space` and `Translation.translate`.
        """
        brought = await self._bring(source_model, gallery, features, deadline)
        calibration = self._calibration(brought.translator, gallery.space)
        min_similarity = _min_similarity(threshold, calibration)
        labels = (self._galleries.name, self._metrics.gallery_label(gallery.name))
        started = time.monotonic()
        with self._metrics.gallery_search_duration.labels(*labels).time():
            async with self._asking_store(deadline):
                found = await self._galleries.search(gallery.name, brought.features, top_k, gallery.space)
        if min_similarity is not None:
            found = [[match for match in matches if match.similarity >= min_similarity] for matches in found]
        return Identified(found, calibration, brought.confidence, brought.inference_s, time.monotonic() - started)

    async def enrol(
        self, source_model: str, gallery: GalleryInfo, faces: Sequence[Face], features: Features, deadline: Deadline
    ) -> Enrolled:
        """Add or replace faces [N] with raw features [N, ds] of `source_model`, all or none.

        A face that was translated says so: `derived_from` and `translator` are set here.

        Raises:
            InvalidFeatureError, UnknownGalleryError, GalleryLimitError, DeadlineExceededError,
            GalleryUnavailableError; see also `source_space` and `Translation.translate`.
        """
        brought = await self._bring(source_model, gallery, features, deadline)
        if (manifest := brought.translator) is not None:
            made_by = f"{manifest.id}@{manifest.version}"
            faces = [replace(face, derived_from=source_model, translator=made_by) for face in faces]
        started = time.monotonic()
        async with self._asking_store(deadline):
            new = await self._galleries.upsert(gallery.name, faces, brought.features, gallery.space)
        labels = (self._galleries.name, self._metrics.gallery_label(gallery.name))
        self._metrics.gallery_enrolled_faces.labels(*labels).inc(len(faces))
        return Enrolled(new, brought.translator, brought.inference_s, time.monotonic() - started)

    async def _bring(self, source_model: str, gallery: GalleryInfo, features: Features, deadline: Deadline) -> _Brought:
        if source_model == gallery.space.id:
            return _Brought(_unit_length(features, gallery.space.dim))
        translated = await self._translation.translate(source_model, gallery.space.id, features, deadline)
        _check_target(translated.manifest, gallery)
        return _Brought(translated.features, translated.manifest, translated.confidence, translated.inference_s)

    def _calibration(self, translator: TranslatorManifest | None, space: FeatureSpace) -> Calibration | None:
        """What similarities mean: of a translator's probes, or of native ones as any translator into it measured."""
        if translator is not None:
            return translator.calibration
        into_space = (m for m in self._catalog.current.translators.values() if m.target == space)
        return next((m.target_calibration for m in into_space if m.target_calibration is not None), None)

    @asynccontextmanager
    async def _asking_store(self, deadline: Deadline) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(deadline.remaining_ms() / 1000):
                yield
        except TimeoutError:
            raise DeadlineExceededError("the gallery store did not answer before the deadline") from None


def _unit_length(features: Features, dim: int) -> Features:
    try:
        check_features(features, dim)
    except VectorError as error:
        raise InvalidFeatureError(str(error), code=error.code, row=error.row) from None
    return l2_normalize(features)


def _min_similarity(threshold: Threshold, calibration: Calibration | None) -> float | None:
    if threshold.max_fmr is None:
        return threshold.min_similarity
    if calibration is None:
        raise UncalibratedError("max_fmr: nobody has measured false-match rates on this route")
    try:
        return calibration.similarity_at(threshold.max_fmr)
    except ValueError as error:
        raise UncalibratedError(str(error)) from None


def _check_target(manifest: TranslatorManifest, gallery: GalleryInfo) -> None:
    if manifest.target != gallery.space:
        raise GallerySpaceMismatchError(
            f"the gallery holds {gallery.space.id!r} with {gallery.space.dim} dimensions, "
            f"{manifest.id!r} answers with {manifest.target.dim}"
        )
