"""The use case: bring probes into a gallery's space, search it, decide by calibration."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contract.calibration import Calibration
from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.bounds import Deadline
from service.entry import Entry, asking_store
from service.errors import GallerySpaceMismatchError
from service.galleries.base import GalleryStore
from service.galleries.values import EVERYWHERE, Found, GalleryInfo, Match, Ranking, Where
from service.live_catalog import LiveCatalog
from service.metrics import Metrics
from service.thresholds import ANY, Threshold, check_threshold, least_similarity
from service.translation import Translation


class SearchObserver(Protocol):
    """Whoever wants to see searches of faces without a filter, as to repeat some of them on another copy."""

    def searched(self, source_model: str, gallery: GalleryInfo, features: Features, top_k: int, found: Found) -> None:
        """Take notice of raw probes [N, ds] and what was found, before any threshold. Returns at once, never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a gallery for each probe."""

    top_k: int
    threshold: Threshold = ANY
    ranking: Ranking = Ranking.FACES
    where: Where = EVERYWHERE
    exact: bool = False  # compare with every face although the gallery has an approximation


@dataclass(frozen=True, slots=True)
class Identified:
    """The matches of each probe among `searched` faces, what similarities mean, how far to trust each probe [N].

    `exact`: each probe was compared with every one of them.
    """

    matches: Sequence[Sequence[Match]]
    searched: int
    exact: bool
    calibration: Calibration | None
    confidence: NDArray[np.float32] | None
    inference_s: float | None
    gallery_s: float


class Identification:
    """Searches galleries with probes of any space that has a route into them."""

    def __init__(
        self,
        translation: Translation,
        galleries: GalleryStore,
        catalog: LiveCatalog,
        metrics: Metrics,
        observer: SearchObserver | None = None,
    ) -> None:
        self._entry = Entry(translation, catalog)
        self._galleries = galleries
        self._metrics = metrics
        self._observer = observer

    def source_space(self, source_model: str, gallery: GalleryInfo) -> FeatureSpace:
        """The space of features that are to enter a gallery: the one that serves, or one with a route to it.

        Raises:
            UnknownModelError, NoRouteError.
            GallerySpaceMismatchError: the catalogue gives the gallery's space another dimension.
        """
        return self._entry.source_space(source_model, gallery.space)

    async def search(
        self, source_model: str, gallery: GalleryInfo, features: Features, query: Query, deadline: Deadline
    ) -> Identified:
        """Find raw probes [N, ds] of `source_model` in the copy of a gallery that serves.

        Raises:
            UncalibratedError: a rate cannot be honoured on this route.
            UnknownGalleryError, DeadlineExceededError, GalleryUnavailableError; see also `Entry.bring`.
        """
        try:
            return await self._search(source_model, gallery, features, query, deadline)
        except GallerySpaceMismatchError:  # the copy that served when `gallery` was read may be dropped by now
            async with asking_store(deadline):
                gallery = await self._galleries.info(gallery.name)
        return await self._search(source_model, gallery, features, query, deadline)

    async def _search(
        self, source_model: str, gallery: GalleryInfo, features: Features, query: Query, deadline: Deadline
    ) -> Identified:
        brought = await self._entry.bring(source_model, gallery.space, features, deadline)
        calibration = await self._entry.calibration(brought.translator, gallery.copies[0])
        check_threshold(query.threshold, calibration)
        started = time.monotonic()
        found = await self._ask(gallery, brought.features, query, deadline)
        gallery_s = time.monotonic() - started
        if self._observer is not None and query.ranking is Ranking.FACES and query.where == EVERYWHERE:
            self._observer.searched(source_model, gallery, features, query.top_k, found)
        least = least_similarity(query.threshold, calibration, found.searched)
        matches = found.matches if least is None else [_from(least, ranked) for ranked in found.matches]
        confidence, inference_s = brought.confidence, brought.inference_s
        return Identified(matches, found.searched, found.exact, calibration, confidence, inference_s, gallery_s)

    async def _ask(self, gallery: GalleryInfo, probes: Features, query: Query, deadline: Deadline) -> Found:
        labels = (self._galleries.name, self._metrics.gallery_label(gallery.name))
        with self._metrics.gallery_search_duration.labels(*labels).time():
            async with asking_store(deadline):
                return await self._galleries.search(
                    gallery.name,
                    gallery.space,
                    probes,
                    query.top_k,
                    ranking=query.ranking,
                    where=query.where,
                    exact=query.exact,
                )


def _from(similarity: float, matches: Sequence[Match]) -> list[Match]:
    return [match for match in matches if match.similarity >= similarity]
