"""The shadow: a sample of live searches is answered by the other copy too, and only the differences are counted."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from contract.spaces import FeatureSpace
from contract.vectors import Features, l2_normalize
from service.bounds import Deadline
from service.errors import GatewayError
from service.galleries.base import GalleryStore
from service.galleries.values import Found, GalleryInfo, Match
from service.metrics import Metrics
from service.migration.record import Migration, State
from service.migration.record_keeping import counts_key
from service.translation import Translation

logger = logging.getLogger(__name__)

QUEUE_MAX: Final = 64
PROBES_MAX: Final = 64  # of one search; the first ones
SHADOWED: Final = frozenset({State.READY, State.SERVING})
MICRO: Final = 1_000_000
HAND_OVER_S: Final = 1.0  # between two writes of the counts
COUNTS: Final = (
    "searches",  # repeated
    "probes",  # of them
    "compared",  # probes for which both copies found a face
    "top_1_agrees",
    "top_k_found",
    "top_k_overlap",
    "rank_changes",  # the old first one is found by the new copy, at another rank
    "similarity_shift_micro",  # of the first one, new less old
    "dropped",
    "failed",
)


@dataclass(frozen=True, slots=True)
class _Answered:
    """A live search and what it found. Lives in memory only, and no longer than it takes to repeat it."""

    migration: Migration
    source_model: str
    served: FeatureSpace
    probes: Features
    top_k: int
    matches: Sequence[Sequence[Match]]


class Shadow:
    """Repeats searches in the background; a full queue drops them, so that no live search ever waits for it."""

    def __init__(
        self,
        store: GalleryStore,
        translation: Translation,
        metrics: Metrics,
        share: float,
        timeout_ms: int,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._translation = translation
        self._metrics = metrics
        self._share = share
        self._timeout_ms = timeout_ms
        self._chance = chance
        self._queue: asyncio.Queue[_Answered] = asyncio.Queue(QUEUE_MAX)
        self._migrations: Mapping[str, Migration] = {}
        self._counts: dict[str, Counter[str]] = {}  # by migration, until the store has them

    def watch(self, migrations: Sequence[Migration]) -> None:
        """From now on these are under way."""
        self._migrations = {migration.gallery: migration for migration in migrations if migration.state in SHADOWED}

    def searched(self, source_model: str, gallery: GalleryInfo, features: Features, top_k: int, found: Found) -> None:
        """A live search of raw probes [N, ds] was answered."""
        migration = self._migrations.get(gallery.name)
        if migration is None or self._chance() >= self._share:
            return
        if gallery.space not in {migration.source, migration.target}:
            return
        probes, matches = features[:PROBES_MAX].copy(), found.matches[:PROBES_MAX]
        try:
            self._queue.put_nowait(_Answered(migration, source_model, gallery.space, probes, top_k, matches))
        except asyncio.QueueFull:
            self._count(migration, "dropped", {"dropped": 1})

    async def run(self) -> None:
        """Repeat one search after the other, and now and then hand the counts to the store; for ever."""
        handed_over_s = time.monotonic()
        while True:
            if (answered := await self._next()) is not None:
                await self._repeat(answered)
            if time.monotonic() - handed_over_s >= HAND_OVER_S:
                await self._hand_over()
                handed_over_s = time.monotonic()

    async def _next(self) -> _Answered | None:
        try:
            async with asyncio.timeout(HAND_OVER_S):
                return await self._queue.get()
        except TimeoutError:
            return None

    async def _repeat(self, answered: _Answered) -> None:
        try:
            counts = await self._compare(answered)
        except GatewayError as error:  # the other copy went, no route leads to it, the engine is busy
            logger.info("a shadow search failed: %s", type(error).__name__)
            self._count(answered.migration, "failed", {"failed": 1})
        except Exception:
            logger.exception("unforeseen failure of a shadow search")
            self._count(answered.migration, "failed", {"failed": 1})
        else:
            self._count(answered.migration, "compared", counts)

    def _count(self, migration: Migration, outcome: str, counts: Mapping[str, int]) -> None:
        self._metrics.migration_shadow_searches.labels(outcome).inc()
        self._counts.setdefault(migration.id, Counter()).update(counts)

    async def _hand_over(self) -> None:
        counted, self._counts = self._counts, {}
        for migration_id, counts in counted.items():
            try:
                await self._store.tally(counts_key(migration_id), counts)
            except GatewayError as error:
                logger.warning("shadow searches are not counted: %s", type(error).__name__)

    async def _compare(self, answered: _Answered) -> dict[str, int]:
        migration = answered.migration
        is_new_served = answered.served == migration.target
        other = migration.source if is_new_served else migration.target
        deadline = Deadline(time.monotonic() + self._timeout_ms / 1000)
        if answered.source_model == other.id:
            probes = l2_normalize(answered.probes)
        else:
            probes = (
                await self._translation.translate(answered.source_model, other.id, answered.probes, deadline)
            ).features
        found = await self._store.search(migration.gallery, other, probes, answered.top_k)
        old, new = (found.matches, answered.matches) if is_new_served else (answered.matches, found.matches)
        return compare(old, new)


def compare(old: Sequence[Sequence[Match]], new: Sequence[Sequence[Match]]) -> dict[str, int]:
    """Counts of how the new copy's matches of N probes differ from the old one's; `similarity_shift_micro` in 1e-6."""
    counts = dict.fromkeys(COUNTS, 0) | {"searches": 1, "probes": len(old)}
    for olds, news in zip(old, new, strict=True):
        old_ids, new_ids = [match.face_id for match in olds], [match.face_id for match in news]
        counts["top_k_found"] += max(len(old_ids), len(new_ids))
        counts["top_k_overlap"] += len(set(old_ids) & set(new_ids))
        if not olds or not news:
            continue
        counts["compared"] += 1
        counts["top_1_agrees"] += old_ids[0] == new_ids[0]
        counts["rank_changes"] += old_ids[0] != new_ids[0] and old_ids[0] in new_ids
        counts["similarity_shift_micro"] += round((news[0].similarity - olds[0].similarity) * MICRO)
    return counts
