"""Both gallery stores for one set of tests, and small seeded galleries to put in them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import redis

from contract.spaces import FeatureSpace
from contract.vectors import Features, l2_normalize
from deploy.redis.cluster import RedisClusterServers
from deploy.redis.start import RedisServer
from service.errors import StillBuildingError
from service.galleries.base import GalleryStore
from service.galleries.local import LocalGalleries
from service.galleries.redis import RedisGalleries
from service.galleries.values import Approximation, Copy, Face, GalleryInfo, Rendition

SPACE = FeatureSpace(id="space-16", dim=16)
OTHER_SPACE = FeatureSpace(id="other-16", dim=16)
FACES_MAX = 20_000
GALLERIES_MAX = 3
BUILD_S_MAX = 120.0  # of an approximate search, on a busy machine


@dataclass(frozen=True, slots=True)
class LocalStores:
    """Opens the embedded store on one directory, again and again."""

    directory: Path
    clock: Callable[[], float] = time.monotonic
    tolerance: float = 1e-6  # of a similarity

    @asynccontextmanager
    async def open(self) -> AsyncIterator[GalleryStore]:
        """The store, closed afterwards."""
        store = LocalGalleries.open(self.directory, faces_max=FACES_MAX, galleries_max=GALLERIES_MAX, clock=self.clock)
        try:
            yield store
        finally:
            await store.close()


@dataclass(frozen=True, slots=True)
class RedisStores:
    """Opens the Redis store on one Redis or a cluster, again and again."""

    server: RedisServer | RedisClusterServers
    tolerance: float = 1e-3

    @asynccontextmanager
    async def open(self) -> AsyncIterator[GalleryStore]:
        """The store, closed afterwards."""
        store = await RedisGalleries.open(self.server.url, faces_max=FACES_MAX, galleries_max=GALLERIES_MAX)
        try:
            yield store
        finally:
            await store.close()


Stores = LocalStores | RedisStores


def administer(server: RedisServer, *command: str | int | bytes) -> object:
    """Send a command to Redis as an operator would."""
    with redis.Redis.from_url(server.url, protocol=2) as client:
        answer: object = client.execute_command(*command)
        return answer


def index_of(server: RedisServer) -> bytes:
    """The name of the one index in a Redis."""
    (index,) = list(administer(server, "FT._LIST"))  # type: ignore[call-overload] # a list
    assert isinstance(index, bytes)
    return index


def unit_features(rows: int, dim: int = SPACE.dim, seed: int = 0) -> Features:
    """Seeded unit-length features [rows, dim]."""
    return l2_normalize(np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32))


def native(features: Features, space: FeatureSpace = SPACE) -> Rendition:
    """Features [N, d] as an encoder gave them."""
    return Rendition(space, features)


def translated(features: Features, space: FeatureSpace = SPACE, translator: str = "translator@1") -> Rendition:
    """Features [N, d] as a translator gave them, each trusted a little less than the one before."""
    return Rendition(space, features, translator, np.linspace(1.0, 0.5, len(features), dtype=np.float32))


def faces_of(rows: int, faces_per_subject: int = 1) -> list[Face]:
    """Faces whose ids do not follow the order of their rows."""
    return [Face(f"face-{row * 7919 % rows:06d}", f"subject-{row // faces_per_subject:06d}") for row in range(rows)]


def on_disk(directory: Path, feature: Features) -> bool:
    """Whether a feature lies in a file of an embedded store."""
    return any(feature.tobytes() in file.read_bytes() for file in directory.iterdir())


async def approximated(store: GalleryStore, gallery: str = "staff", space: FeatureSpace = SPACE) -> Approximation:
    """Ask for an approximate search until it is there, as a client does. Each call waits by itself."""
    async with asyncio.timeout(BUILD_S_MAX):
        while True:
            with suppress(StillBuildingError):
                return await store.approximate(gallery, space)


async def all_originals(store: GalleryStore, gallery: str) -> dict[str, Face]:
    """Every face of a gallery by its id."""
    faces: dict[str, Face] = {}
    after = None
    while originals := await store.originals(gallery, after, 1000):
        faces |= {original.face.face_id: original.face for original in originals}
        after = originals[-1].face.face_id
    return faces


def info_of(name: str, faces: int, subjects: int, space: FeatureSpace = SPACE) -> GalleryInfo:
    """What a gallery with one copy says of itself."""
    return GalleryInfo(name, space, faces, subjects, (Copy(space, faces),))
