"""Copies that this process has no translator for: it leaves them to others, and says when nobody gets on with one.

Catalogues of processes that share a job differ for a while: a translator is published on one machine before the next.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Final

from contract.spaces import FeatureSpace
from service.galleries.values import Original
from service.live_catalog import LiveCatalog
from service.migration.record import Migration, State

PATIENCE_S: Final = 600.0  # without a route here, and without a face filled by anybody
REST_S: Final = 60.0  # between two walks past faces that no translator leads from

_Key = tuple[str, datetime, FeatureSpace]


@dataclass(frozen=True, slots=True)
class Work:
    """A copy that lacks faces: mostly the one that does not serve."""

    migration: Migration
    space: FeatureSpace
    missing: int

    @property
    def must_end(self) -> bool:
        """Whether the migration waits for it; what else lacks faces stays as it is."""
        return self.migration.state is State.BACKFILLING and self.space == self.migration.target

    @property
    def key(self) -> _Key:
        """The same at each look until the migration changes."""
        return self.migration.id, self.migration.changed_at, self.space


@dataclass(slots=True)
class _Lack:
    origins: frozenset[str]
    since_s: float
    fewest: int  # faces missing since then
    rests_until_s: float = 0.0


class Routeless:
    """What is done, left alone or given up for want of a route. For one event loop."""

    def __init__(
        self, catalog: LiveCatalog, patience_s: float = PATIENCE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalog = catalog
        self._patience_s = patience_s
        self._clock = clock
        self._lacks: dict[_Key, _Lack] = {}

    def sort(self, lacking: Sequence[Work]) -> tuple[list[Work], list[Work]]:
        """Of all copies that lack faces those to work on now, and those that nobody got on with for too long."""
        now_s, before, self._lacks = self._clock(), self._lacks, {}
        todo, hopeless = list[Work](), list[Work]()
        for work in lacking:
            lack = self._lack(work, before.get(work.key), now_s)
            if lack is None:
                todo.append(work)
                continue
            self._lacks[work.key] = lack
            if work.must_end and now_s - lack.since_s >= self._patience_s:
                hopeless.append(work)
            elif now_s >= lack.rests_until_s:
                todo.append(work)
        return todo, hopeless

    def _lack(self, work: Work, lack: _Lack | None, now_s: float) -> _Lack | None:
        """What there is no route for, as far as is known; it lasts until one comes, its time until a face is filled."""
        if lack is not None and self._without_route(lack.origins, work.space) != lack.origins:
            lack = None
        planned = self._without_route((origin.model for origin in work.migration.plan.origins), work.space)
        if planned and work.must_end:
            lack = lack or _Lack(planned, now_s, work.missing)
            lack.origins |= planned
            lack.rests_until_s = inf  # who planned it can do all of it
        if lack is not None and work.missing < lack.fewest:
            lack.since_s, lack.fewest = now_s, work.missing
        return lack

    def known(self, work: Work, originals: Sequence[Original]) -> tuple[Original, ...]:
        """Those of a claim's originals that a route leads from; the others are remembered."""
        without = self._without_route({original.space.id for original in originals}, work.space)
        if without:
            lack = self._lacks.setdefault(work.key, _Lack(without, self._clock(), work.missing))
            lack.origins |= without
        return tuple(original for original in originals if original.space.id not in without)

    def rest(self, work: Work) -> None:
        """Nothing is left to claim but what was met in vain."""
        if (lack := self._lacks.get(work.key)) is not None:
            lack.rests_until_s = self._clock() + REST_S

    def _without_route(self, origins: Iterable[str], target: FeatureSpace) -> frozenset[str]:
        catalog = self._catalog.current
        foreign = frozenset(origins) - {target.id}
        return frozenset(origin for origin in foreign if catalog.joining(origin, target.id) is None)
