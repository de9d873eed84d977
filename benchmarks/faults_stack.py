"""Servers that are killed at any moment: a gateway with its embedded store, or two gateways that share one Redis."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from benchmarks.gallery_stores import open_store
from deploy.gateway import GatewayServer
from deploy.process import READY_TIMEOUT_S, http_status, wait_until
from deploy.redis.start import RedisServer
from service.galleries.base import GalleryStore
from service.settings import StoreKind

LEASE_MS = 5000  # a claim of a worker that was killed is another's soon
POLL_S = 0.2
BATCH_FACES, SHARE = 16, 0.05  # a migration lasts while there are requests, so that many kills meet it
HTTP_OK = 200
TIMEOUT_MS = 10_000
GATEWAYS = {StoreKind.LOCAL: 1, StoreKind.REDIS: 2}  # the embedded store has one process

Server = GatewayServer | RedisServer


class Stack:
    """The servers, by name. A context manager; start it from a thread that outlives them."""

    def __init__(self, kind: StoreKind, folder: Path, repository: Path) -> None:
        """`folder`: where the faces lie; `repository`: the translators."""
        self._kind = kind
        self._data = folder / "faces"
        self._redis = RedisServer(data=self._data) if kind is StoreKind.REDIS else None
        settings = self._settings(repository)
        self._gateways = [GatewayServer(settings) for _ in range(GATEWAYS[kind])]

    @property
    def victims(self) -> Mapping[str, Server]:
        """What can be killed. A gateway is a migration's worker as well."""
        redis: dict[str, Server] = {} if self._redis is None else {"redis": self._redis}
        return redis | {f"gateway {number}": gateway for number, gateway in enumerate(self._gateways, 1)}

    @property
    def urls(self) -> list[str]:
        """Base URLs of the gateways."""
        return [gateway.url for gateway in self._gateways]

    def kill(self, victim: str) -> None:
        """Kill -9 one server and start it again; returns when all are ready."""
        server = self.victims[victim]
        server.process.kill()
        server.start()
        wait_until(self._all_ready, READY_TIMEOUT_S, "the gateways to be ready")

    @asynccontextmanager
    async def store(self) -> AsyncIterator[GalleryStore]:
        """Stop the gateways and open their store."""
        for gateway in self._gateways:
            gateway.stop()
        store = await open_store(self._kind, str(self._data) if self._redis is None else self._redis.url)
        try:
            yield store
        finally:
            await store.close()

    def __enter__(self) -> Self:
        try:
            for server in self.victims.values():
                server.start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _all_ready(self) -> bool:
        return all(http_status(f"{url}/health/ready") == HTTP_OK for url in self.urls)

    def _stop(self) -> None:
        for server in reversed(list(self.victims.values())):
            server.stop()

    def _settings(self, repository: Path) -> dict[str, str]:
        settings = {
            "R3AN_ENVIRONMENT": "development",
            "R3AN_ENGINE": "echo",  # which translates exactly alike each time, and starts at once
            "R3AN_MODEL_REPOSITORY": str(repository),
            "R3AN_TIMEOUT_MS": str(TIMEOUT_MS),
            "R3AN_LOG_LEVEL": "warning",
            "R3AN_MIGRATION_LEASE_MS": str(LEASE_MS),
            "R3AN_MIGRATION_POLL_S": str(POLL_S),
            "R3AN_MIGRATION_BATCH_FACES": str(BATCH_FACES),
            "R3AN_MIGRATION_SHARE": str(SHARE),
        }
        if self._redis is None:
            return settings | {"R3AN_GALLERY_DIR": str(self._data)}
        return settings | {"R3AN_GALLERY_STORE": "redis", "R3AN_REDIS_URL": self._redis.url}
