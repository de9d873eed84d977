"""Keeps migrations as notes of the gallery store: one under way for each gallery, and the latest finished ones."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from service.errors import GalleryLimitError, UnknownMigrationError
from service.galleries.base import GalleryStore
from service.migration.record import Migration

logger = logging.getLogger(__name__)

ACTIVE: Final = "migrating:"  # and the gallery: so there is never a second one
KEPT: Final = "migration:"  # and the id: finished ones, and the counts of all
KEPT_MAX: Final = 100


class Records:
    """Reads and changes records; every change is refused if somebody else was faster."""

    def __init__(self, store: GalleryStore) -> None:
        self._store = store

    async def active(self) -> list[Migration]:
        """All that are under way, oldest first."""
        return sorted(_parsed(await self._store.notes(), ACTIVE), key=lambda migration: migration.created_at)

    async def all(self) -> list[Migration]:
        """All that are kept, newest first."""
        notes = await self._store.notes()
        # A finished one whose ending was cut short stands in both; the finished one counts.
        by_id = {migration.id: migration for prefix in (ACTIVE, KEPT) for migration in _parsed(notes, prefix)}
        return sorted(by_id.values(), key=lambda migration: migration.created_at, reverse=True)

    async def get(self, migration_id: str) -> Migration:
        """One migration. Raises UnknownMigrationError."""
        for _ in range(2):  # one that ends between the two looks is found by the second try
            if (text := await self._store.noted(KEPT + migration_id)) and (finished := _parse(text)):
                return finished
            for migration in await self.active():
                if migration.id == migration_id:
                    return migration
        raise UnknownMigrationError(f"no migration {migration_id!r}")

    async def add(self, migration: Migration) -> bool:
        """Keep a new one; False if its gallery has one under way."""
        return await self._store.note(ACTIVE + migration.gallery, migration.model_dump_json(), None)

    async def move(self, before: Migration, after: Migration) -> Migration | None:
        """Keep a migration as it is after a change, and when that was; None if it has changed since it was read."""
        key = ACTIVE + before.gallery
        text = await self._store.noted(key)
        if text is None or _parse(text) != before:
            return None
        moved = after.model_copy(update={"changed_at": datetime.now(UTC)})
        if not moved.is_finished:
            return moved if await self._store.note(key, moved.model_dump_json(), text) else None
        # Kept before it ends: cut short here, it ends once more, and what is kept stays as it is.
        await self._forget_oldest()
        try:
            await self._store.note(KEPT + moved.id, moved.model_dump_json(), None)
        except GalleryLimitError:  # what cannot be remembered must end all the same
            logger.warning("migration %s ends without a record: there are too many notes", moved.id)
        await self._store.note(key, None, text)
        return moved

    async def _forget_oldest(self) -> None:
        notes = await self._store.notes()
        finished = sorted(_parsed(notes, KEPT), key=lambda migration: migration.changed_at)
        for migration in finished[: -(KEPT_MAX - 1)]:
            key = KEPT + migration.id
            await self._store.note(key, None, notes[key])


def counts_key(migration_id: str) -> str:
    """Where a migration's counts are; they are forgotten with it."""
    return KEPT + migration_id


def _parsed(notes: Mapping[str, str], prefix: str) -> list[Migration]:
    found = (_parse(text) for key, text in notes.items() if key.startswith(prefix))
    return [migration for migration in found if migration is not None]


def _parse(text: str) -> Migration | None:
    try:
        return Migration.model_validate_json(text)
    except ValidationError:  # written by another version of the gateway: no reason to stop all others
        logger.error("a migration's record cannot be read")  # noqa: TRY400 - its text says nothing more
        return None
