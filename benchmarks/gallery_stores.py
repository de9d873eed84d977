"""The gateway's gallery stores opened without a gateway."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from service.galleries.base import GalleryStore
from service.galleries.local import LocalGalleries
from service.galleries.redis import RedisGalleries
from service.settings import StoreKind

FACES_MAX, GALLERIES_MAX = 10_000_000, 10
STORE_TIMEOUT_MS = 120_000


async def open_store(kind: StoreKind, where: str) -> GalleryStore:
    """A store in a folder or on a Redis, with bounds that no measurement reaches."""
    bounds: dict[str, Any] = {"faces_max": FACES_MAX, "galleries_max": GALLERIES_MAX}
    if kind is StoreKind.REDIS:
        return await RedisGalleries.open(where, timeout_ms=STORE_TIMEOUT_MS, **bounds)
    return await asyncio.to_thread(partial(LocalGalleries.open, Path(where), **bounds))
