"""The way into a gallery: raw features of any model, brought to unit length in one of its spaces."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.calibration import Calibration
from contract.errors import VectorError
from contract.manifest import TranslatorManifest
from contract.spaces import FeatureSpace
from contract.vectors import Features, check_features, l2_normalize
from service.bounds import Deadline
from service.calibrations import (
    NATIVE,
    Maker,
    makers_of,
    native_calibration,
    strictest_of,
    translated_calibration,
)
from service.errors import DeadlineExceededError, GallerySpaceMismatchError, InvalidFeatureError, NoRouteError
from service.galleries.values import Copy
from service.live_catalog import LiveCatalog
from service.translation import Translation


@dataclass(frozen=True, slots=True)
class Brought:
    """Unit-length features [N, d] in a gallery's space, what translated them, and how far to trust each [N]."""

    features: Features
    translator: TranslatorManifest | None = None
    confidence: NDArray[np.float32] | None = None
    inference_s: float | None = None


class Entry:
    """Brings features into a gallery's spaces: as they are, or along a direct route."""

    def __init__(self, translation: Translation, catalog: LiveCatalog) -> None:
        self._translation = translation
        self._catalog = catalog

    def source_space(self, source_model: str, space: FeatureSpace) -> FeatureSpace:
        """The space of features of a model that are to enter `space`: itself, or one with a route to it.

        Raises:
            UnknownModelError, NoRouteError.
            GallerySpaceMismatchError: the catalogue gives the space another dimension.
        """
        if source_model == space.id:
            return space
        catalog = self._catalog.current
        catalog.space(source_model)
        if space.id not in catalog.spaces:
            raise NoRouteError(f"no translator from {source_model!r} to {space.id!r}")
        manifest = catalog.route(source_model, space.id)
        _check_target(manifest, space)
        return manifest.source

    async def bring(self, source_model: str, space: FeatureSpace, features: Features, deadline: Deadline) -> Brought:
        """Bring features [N, ds] of a model to unit length in `space`.

        Raises:
            InvalidFeatureError: a row is no usable feature.
            What `source_space` and `Translation.translate` raise.
        """
        self.source_space(source_model, space)
        if source_model == space.id:
            return Brought(unit_length(features, space.dim))
        translated = await self._translation.translate(source_model, space.id, features, deadline)
        _check_target(translated.manifest, space)
        return Brought(translated.features, translated.manifest, translated.confidence, translated.inference_s)

    async def calibration(
        self, translator: TranslatorManifest | None, copy: Copy, *, with_themselves: bool = False
    ) -> Calibration | None:
        """What similarities of probes to any of a copy's faces mean, and with one another if so asked.

        `translator` made the probes; None: they are native. The answer never understates a rate, and is None where
        somebody's rate is unknown.
        """
        makers = makers_of(copy)
        if with_themselves:
            makers.add(NATIVE if translator is None else translator.name)
        return strictest_of([await self._between(translator, maker, copy) for maker in makers or {NATIVE}])

    async def _between(self, probes: TranslatorManifest | None, maker: Maker, copy: Copy) -> Calibration | None:
        if maker is not NATIVE:
            return translated_calibration(self._catalog.current, probes, await self._catalog.find(maker))
        return native_calibration(self._catalog.current, copy) if probes is None else probes.calibration


def unit_length(features: Features, dim: int) -> Features:
    """Features [N, dim] at unit length. Raises InvalidFeatureError."""
    try:
        check_features(features, dim)
    except VectorError as error:
        raise InvalidFeatureError.of(error) from None
    return l2_normalize(features)


@asynccontextmanager
async def asking_store(deadline: Deadline) -> AsyncIterator[None]:
    """Give the store until the deadline. Raises DeadlineExceededError."""
    try:
        async with asyncio.timeout(deadline.remaining_ms() / 1000):
            yield
    except TimeoutError:
        raise DeadlineExceededError("the gallery store did not answer before the deadline") from None


def _check_target(manifest: TranslatorManifest, space: FeatureSpace) -> None:
    if manifest.target != space:
        raise GallerySpaceMismatchError(
            f"the gallery holds {space.id!r} with {space.dim} dimensions, "
            f"{manifest.id!r} answers with {manifest.target.dim}"
        )
