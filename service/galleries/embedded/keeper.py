"""The galleries of one directory: what needs the disk runs one after the other and is published when it is done."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from contract.spaces import FeatureSpace
from service.errors import UnknownGalleryError
from service.galleries.embedded import copies, copy_records
from service.galleries.embedded.claims import Clock
from service.galleries.embedded.directory import OpenDirectory
from service.galleries.embedded.erasure import Steps, take_step
from service.galleries.embedded.memory import MemoryGallery
from service.galleries.embedded.threads import Threads
from service.galleries.refusals import NO_GALLERY
from service.galleries.values import GalleryInfo

Arguments = TypeVarTuple("Arguments")
R = TypeVar("R")


class Keeper:
    """Runs functions of the database in the writer thread. Each method: GalleryUnavailableError."""

    def __init__(self, directory: OpenDirectory, threads: Threads) -> None:
        self._database = directory.database
        self._galleries = directory.galleries  # changed by the writer thread alone
        self._threads = threads
        self.infos = {name: gallery.info() for name, gallery in self._galleries.items()}  # whole at any moment

    def find(self, gallery: str) -> MemoryGallery:
        """A gallery in memory. Raises UnknownGalleryError."""
        found = self._galleries.get(gallery)
        if found is None:
            raise UnknownGalleryError(NO_GALLERY)
        return found

    def info(self, gallery: str) -> GalleryInfo:
        """What a gallery says of itself. Raises UnknownGalleryError."""
        info = self.infos.get(gallery)
        if info is None:
            raise UnknownGalleryError(NO_GALLERY)
        return info

    async def create(self, name: str, space: FeatureSpace, galleries_max: int, clock: Clock) -> bool:
        """Add a gallery; False if it is there."""

        def run() -> bool:
            new = copies.create_once(self._database, self._galleries, name, space, galleries_max, clock)
            self.infos[name] = self._galleries[name].info()
            return new

        return await self._threads.write(run)

    async def drop(self, name: str) -> int:
        """Let a gallery be gone; returns its key, by which it is to be erased."""

        def run() -> int:
            key = self.find(name).key
            copy_records.drop_gallery(self._database, key)
            del self._galleries[name], self.infos[name]
            return key

        return await self._threads.write(run)

    async def change(
        self, gallery: str, function: Callable[[sqlite3.Connection, MemoryGallery, *Arguments], R], *args: *Arguments
    ) -> R:
        """Change a gallery on disk and in memory."""

        def run() -> R:
            found = self.find(gallery)
            answer = function(self._database, found, *args)
            self.infos[gallery] = found.info()
            return answer

        return await self._threads.write(run)

    async def ask(
        self, gallery: str, function: Callable[[sqlite3.Connection, int, *Arguments], R], *args: *Arguments
    ) -> R:
        """Read or change what only the disk has of a gallery."""
        return await self._threads.write(lambda: function(self._database, self.find(gallery).key, *args))

    async def keep(self, function: Callable[[sqlite3.Connection, *Arguments], R], *args: *Arguments) -> R:
        """Read or change what is kept beside the galleries."""
        return await self._threads.write(lambda: function(self._database, *args))

    async def erase(self, steps_of: Callable[[sqlite3.Connection, *Arguments], Steps], *keys: *Arguments) -> None:
        """Erase what was dropped, letting other writes in between."""
        steps = steps_of(self._database, *keys)
        while await self._threads.write(lambda: take_step(steps)):
            pass
