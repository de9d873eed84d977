"""The gateway's gallery stores opened without a gateway, and the memory of a process."""

import asyncio
import os
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


def resident_bytes(process_id: int) -> int:
    """Resident bytes of one process."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def children_of(process_id: int) -> list[int]:
    """The processes that one has started, and theirs."""
    children: list[int] = []
    for task in Path(f"/proc/{process_id}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            children += [int(child), *children_of(int(child))]
    return children
