"""The use cases of a migration: plan, begin, cut over, roll back, complete, cancel, resume.

The gallery's copies are the truth and the record follows them: each step changes the store once, then settles the
record by what the store shows. A crash between the two is set right by whoever looks next. Copies are named by their
keys, so that who was held up touches none that has begun since.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, NamedTuple

from service.bounds import Deadline
from service.errors import CopyExistsError, GalleryUnavailableError, MigrationStateError, UnknownGalleryError
from service.galleries.base import GalleryStore
from service.galleries.values import GalleryInfo
from service.live_catalog import LiveCatalog
from service.migration.plan import Planner
from service.migration.record import Migration, Plan, State, settled
from service.migration.record_keeping import Records

ID_BYTES: Final = 12
TRIES_MAX: Final = 16  # of a change, each lost to somebody who was faster
LOOK_S: Final = 2.0  # at one gallery among others, which do not wait longer for it
CANCELLABLE: Final = frozenset({State.BACKFILLING, State.READY, State.FAILED})


class Standing(NamedTuple):
    """Migrations as they stand now; those of `unreachable` galleries as they were when last seen."""

    migrations: list[Migration]
    unreachable: frozenset[str]


class Migrations:
    """Every change of every migration."""

    def __init__(
        self,
        store: GalleryStore,
        catalog: LiveCatalog,
        planner: Planner,
        wake: Callable[[], None],
    ) -> None:
        """`wake` is called when there is something to backfill."""
        self._store = store
        self._catalog = catalog
        self._planner = planner
        self._wake = wake
        self._records = Records(store)

    async def plan(self, gallery: str, target_model: str, deadline: Deadline) -> Plan:
        """What a migration would need and bring.

        Raises:
            UnknownModelError, UnknownGalleryError.
            CopyExistsError: the gallery is in this space, or is migrating already.
            See also `Planner.plan`.
        """
        target = self._catalog.current.space(target_model)
        info = await self._store.info(gallery)
        if info.space.id == target.id:
            raise CopyExistsError(f"the gallery is in {target.id!r} already")
        under_way = [migration for migration in await self._records.active() if migration.gallery == gallery]
        if any([not (await self._settle(migration)).is_finished for migration in under_way]):
            raise CopyExistsError("the gallery is migrating already")
        return await self._planner.plan(info, target, deadline)

    async def begin(self, gallery: str, target_model: str, deadline: Deadline) -> Migration:
        """Plan a migration, keep its record, then add the copy. Raises as `plan`, and GalleryLimitError."""
        info = await self._store.info(gallery)
        plan = await self.plan(gallery, target_model, deadline)
        now = datetime.now(UTC)
        migration = Migration(
            id=secrets.token_hex(ID_BYTES),
            gallery=gallery,
            source=info.space,
            source_copy=info.copies[0].key,
            target=self._catalog.current.space(target_model),
            state=State.BEGINNING,
            created_at=now,
            changed_at=now,
            plan=plan,
        )
        if not await self._records.add(migration):
            raise CopyExistsError("the gallery is migrating already")
        migration = await self._settle(migration)
        self._wake()
        return migration

    async def get(self, migration_id: str) -> Migration:
        """A migration as it stands now. Raises UnknownMigrationError."""
        return await self._settle(await self._records.get(migration_id))

    async def active(self) -> Standing:
        """Those under way, oldest first."""
        migrations, unreachable = await self._look_at(await self._records.active())
        return Standing([migration for migration in migrations if not migration.is_finished], unreachable)

    async def all(self) -> Standing:
        """Those under way and the latest finished ones, newest first."""
        return await self._look_at(await self._records.all())

    async def cut_over(self, migration_id: str) -> Migration:
        """Let searches be served by the new copy.

        Raises:
            UnknownMigrationError, MigrationStateError.
            CopyIncompleteError: a face is missing in it.
        """
        migration = await self._at(migration_id, {State.BACKFILLING, State.READY}, "cut over")
        await self._store.serve(migration.gallery, migration.target, key=migration.target_copy)
        return await self._settle(migration)

    async def roll_back(self, migration_id: str, *, allow_missing: bool = False) -> Migration:
        """Let searches be served by the old copy again, `allow_missing` although they miss faces then.

        Raises:
            UnknownMigrationError, MigrationStateError.
            CopyIncompleteError: a face enrolled since the cut-over is missing in it.
        """
        migration = await self._at(migration_id, {State.SERVING}, "rolled back")
        await self._store.serve(
            migration.gallery, migration.source, key=migration.source_copy, complete=not allow_missing
        )
        self._wake()
        return await self._settle(migration)

    async def complete(self, migration_id: str) -> Migration:
        """Drop the old copy for good; originals stay. Raises UnknownMigrationError, MigrationStateError."""
        migration = await self._at(migration_id, {State.SERVING}, "completed")
        await self._store.drop_copy(migration.gallery, migration.source, key=migration.source_copy)
        return await self._settle(migration)

    async def cancel(self, migration_id: str) -> Migration:
        """Drop the new copy before it serves. Raises UnknownMigrationError, MigrationStateError."""
        migration = await self._at(migration_id, CANCELLABLE, "cancelled")
        await self._store.drop_copy(migration.gallery, migration.target, key=migration.target_copy)
        return await self._settle(migration)

    async def resume(self, migration_id: str) -> Migration:
        """Go on after a failure. Raises UnknownMigrationError, MigrationStateError."""
        migration = await self._at(migration_id, {State.FAILED}, "resumed")
        await self._change(migration, State.FAILED, State.BACKFILLING, None)
        self._wake()
        return await self.get(migration_id)

    async def fail(self, migration: Migration, reason: str) -> None:
        """Stop a backfill that cannot go on by itself; `reason` is a code."""
        await self._change(migration, State.BACKFILLING, State.FAILED, reason)

    async def info(self, migration: Migration) -> GalleryInfo | None:
        """The migration's gallery; None if it is gone."""
        try:
            return await self._store.info(migration.gallery)
        except UnknownGalleryError:
            return None

    async def _at(self, migration_id: str, states: Collection[State], what: str) -> Migration:
        migration = await self.get(migration_id)
        if migration.state not in states:
            raise MigrationStateError(f"a migration that is {migration.state} cannot be {what}")
        return migration

    async def _look_at(self, migrations: Sequence[Migration]) -> Standing:
        settled = await asyncio.gather(*map(self._settle_if_reachable, migrations))
        unreachable = {m.gallery for m, found in zip(migrations, settled, strict=True) if found is None}
        return Standing([found or m for m, found in zip(migrations, settled, strict=True)], frozenset(unreachable))

    async def _settle_if_reachable(self, migration: Migration) -> Migration | None:
        try:
            async with asyncio.timeout(LOOK_S):
                return await self._settle(migration)
        except (GalleryUnavailableError, TimeoutError):
            return None

    async def _settle(self, migration: Migration) -> Migration:
        """The record as the gallery shows it, written where it differs."""
        for _ in range(TRIES_MAX):
            if migration.is_finished:
                return migration
            if migration.state is State.BEGINNING:
                await self._add_copy(migration)
            after = settled(migration, await self.info(migration))
            if after != migration:
                migration = await self._records.move(migration, after) or await self._records.get(migration.id)
            elif migration.state is not State.BEGINNING:
                return migration
            else:  # the place was taken, or the migration has ended meanwhile
                migration = await self._records.get(migration.id)
        raise MigrationStateError("the migration is being changed by others")

    async def _add_copy(self, migration: Migration) -> None:
        """Only the gallery's one record may add copies, so another copy was left by a crash and belongs to nobody.

        What is added once the migration has ended meanwhile is such a copy, for the next one to take over or drop.
        """
        info = await self.info(migration)
        # Read again: what was seen before the migration ended is no copy of a later one.
        if info is None or await self._records.get(migration.id) != migration:
            return
        with suppress(CopyExistsError, UnknownGalleryError):
            for copy in info.copies[1:]:
                if copy.space != migration.target:
                    await self._store.drop_copy(migration.gallery, copy.space, key=copy.key)
            await self._store.add_copy(migration.gallery, migration.target)

    async def _change(self, migration: Migration, before: State, after: State, reason: str | None) -> None:
        """Move a migration from one state to another, unless it has left the first."""
        for _ in range(TRIES_MAX):
            current = await self._records.get(migration.id)
            if current.state is not before or await self._records.move(current, current.at(after, reason)):
                return
