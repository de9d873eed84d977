"""The worker: translates the faces that a copy lacks, claim by claim. Any number of processes share a job."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.bounds import Deadline
from service.errors import (
    CopiesChangedError,
    DeadlineExceededError,
    EngineFailedError,
    EngineOverloadedError,
    EngineTimeoutError,
    EngineUnavailableError,
    GallerySpaceMismatchError,
    GalleryUnavailableError,
    GatewayError,
    InvalidFeatureError,
    NoRouteError,
    OverloadedError,
    UnknownGalleryError,
    UnknownModelError,
)
from service.galleries.base import GalleryStore
from service.galleries.values import Claim
from service.metrics import Metrics
from service.migration.derivation import derive
from service.migration.jobs import Migrations
from service.migration.pace import BackOff, Pace
from service.migration.record import Migration
from service.migration.routeless import Routeless, Work
from service.translation import Translation

logger = logging.getLogger(__name__)

CLAIM_FAILURES_MAX: Final = 5  # of an engine that answers, with an error, to one and the same claim
TRANSIENT: Final = (
    DeadlineExceededError,
    EngineOverloadedError,
    EngineTimeoutError,
    EngineUnavailableError,
    GalleryUnavailableError,
    OverloadedError,
)
NO_ROUTE: Final = "no-route"
ROUTE_GONE: Final = (NoRouteError, UnknownModelError)  # with its last translator a space is gone too
ENDED: Final = (CopiesChangedError, UnknownGalleryError)  # meanwhile, by others
# What no waiting mends, and the reason it gives a failed migration.
HOPELESS: Final[Mapping[type[GatewayError], str]] = {
    InvalidFeatureError: "invalid-feature",
    GallerySpaceMismatchError: "space-mismatch",
    EngineFailedError: "engine-failed",
}


@dataclass(frozen=True, slots=True)
class BackfillBounds:
    """How much one process works at once, and how long a claim is its own."""

    batch_faces: int
    batches_at_once: int
    lease_ms: int
    poll_s: float


class Backfill:
    """Runs until it is cancelled. A claim that it leaves behind ends with its lease and is done by another."""

    def __init__(
        self,
        migrations: Migrations,
        store: GalleryStore,
        translation: Translation,
        routeless: Routeless,
        pace: Pace,
        metrics: Metrics,
        bounds: BackfillBounds,
        woken: asyncio.Event,
        looked: Callable[[Sequence[Migration]], None],
    ) -> None:
        """`woken` is set when there may be work; `looked` is told of all migrations under way at every look."""
        self._migrations = migrations
        self._store = store
        self._translation = translation
        self._routeless = routeless
        self._pace = pace
        self._metrics = metrics
        self._bounds = bounds
        self._looked = looked
        self._woken = woken
        self._is_troubled = False  # a lane met something that time may mend
        self._gauged: set[str] = set()
        self._unreachable: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Look for work, do it, wait; for ever."""
        back_off = BackOff()
        while True:
            try:
                has_worked = await self._work_a_while()
            except TRANSIENT as error:
                logger.warning("migrations wait: %s", type(error).__name__)
                self._is_troubled = True
            except Exception:
                logger.exception("unforeseen failure of a migration's worker")
                self._is_troubled = True
            if self._is_troubled:
                self._is_troubled = False
                await asyncio.sleep(back_off.next_s())
                continue
            back_off.reset()
            if not has_worked:
                await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._bounds.poll_s):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    async def _work_a_while(self) -> bool:
        """Until nothing is left to claim or the next look is due; whether there was anything to do."""
        todo = deque(await self._look())
        if not todo:
            return False
        filled: list[int] = []
        until = time.monotonic() + self._bounds.poll_s
        async with asyncio.TaskGroup() as group:
            for _ in range(self._bounds.batches_at_once):
                group.create_task(self._lane(todo, until, filled))
        return bool(filled)

    async def _look(self) -> list[Work]:
        migrations, unreachable = await self._migrations.active()
        self._looked(migrations)
        self._tell(unreachable)
        lacking, missing = list[Work](), dict[str, int]()
        for migration in (m for m in migrations if m.gallery not in unreachable):
            info = await self._migrations.info(migration)
            if info is None or len(info.copies) == 1 or migration.reason is not None:
                continue
            label = self._metrics.gallery_label(info.name)
            for copy in info.copies:
                work = Work(migration, copy.space, max(0, info.faces - copy.faces))
                missing[label] = missing.get(label, 0) + work.missing
                if work.missing:
                    lacking.append(work)
        self._show(missing)
        todo, hopeless = self._routeless.sort(lacking)
        for work in hopeless:
            await self._fail(work, NO_ROUTE)
        self._pace.looked(has_work=bool(todo))
        return todo

    def _tell(self, unreachable: frozenset[str]) -> None:
        if unreachable - self._unreachable:
            logger.warning("migrations of %d galleries that cannot be reached wait", len(unreachable))
        self._metrics.migration_unreachable_galleries.set(len(unreachable))
        self._unreachable = unreachable

    def _show(self, missing: Mapping[str, int]) -> None:
        for label in self._gauged - missing.keys():
            self._metrics.forget(self._metrics.migration_missing_faces, label)
        for label, faces in missing.items():
            self._metrics.migration_missing_faces.labels(label).set(faces)
        self._gauged = set(missing)

    async def _lane(self, todo: "deque[Work]", until: float, filled: list[int]) -> None:
        """Claim after claim, from one migration after the other."""
        while todo and time.monotonic() < until:
            work = todo[0]
            todo.rotate(-1)
            written = await self._step(work)
            if written is not None:
                filled.append(written)
            elif work in todo:
                todo.remove(work)

    async def _step(self, work: Work) -> int | None:
        """One claim; how many faces it filled, None if there is nothing more to do now."""
        gallery, bounds = work.migration.gallery, self._bounds
        try:
            async with self._pace.turn():
                faces = self._pace.faces(bounds.batch_faces)
                claim = await self._store.claim(gallery, work.space, faces, bounds.lease_ms)
            if claim is None:
                self._routeless.rest(work)
                return None
            return await self._fill(work, claim)
        except ENDED:
            return None
        except TRANSIENT as error:
            logger.warning("a migration waits: %s", type(error).__name__)
            self._is_troubled = True
            return None

    async def _fill(self, work: Work, claim: Claim) -> int | None:
        """Translate of a claim what routes lead from and write it, again and again while its lease lasts."""
        lease = Deadline(time.monotonic() + self._bounds.lease_ms / 1000)
        back_off, failures = BackOff(), 0
        while known := self._routeless.known(work, claim.originals):
            try:
                async with self._pace.turn():
                    derived = await derive(self._translation, known, work.space, lease)
                    filled = Claim(claim.token, known)
                    written = await self._store.fill(work.migration.gallery, filled, derived.renditions())
            except tuple(HOPELESS) as error:
                failures += 1
                if not isinstance(error, EngineFailedError) or failures == CLAIM_FAILURES_MAX:
                    await self._give_up(work, claim, error)
                    return None
            except (*TRANSIENT, *ROUTE_GONE) as error:
                logger.warning("a migration waits: %s", type(error).__name__)
            else:
                self._metrics.migration_faces.labels("filled").inc(written)
                self._metrics.migration_faces.labels("left").inc(len(known) - written)
                return written
            delay_s = back_off.next_s()
            if lease.remaining_ms() < delay_s * 1000:
                raise DeadlineExceededError("a claim's lease ended before its faces were translated")
            await asyncio.sleep(delay_s)
        return 0

    async def _give_up(self, work: Work, claim: Claim, error: GatewayError) -> None:
        """Fail the migration; after the cut-over it is the old copy that stays as it is, and nothing has failed."""
        self._metrics.migration_faces.labels("failed").inc(len(claim.originals))
        await self._fail(work, next(HOPELESS[kind] for kind in type(error).__mro__ if kind in HOPELESS))

    async def _fail(self, work: Work, reason: str) -> None:
        logger.error("migration %s cannot go on: %s", work.migration.id, reason)
        await self._migrations.fail(work.migration, reason)
