"""The real gateway for tests: uvicorn in a thread on a free loopback port, and a client that talks to it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.http_protocol import ConnectionBounds, bounded_protocol
from service.settings import EngineKind, Environment, Settings

START_TIMEOUT_S = 60.0
BOUNDS = ConnectionBounds(connections_max=512, message_bytes_max=64 * 1024**2, message_timeout_s=60.0)


def development_settings(directory: Path, **changes: object) -> Settings:
    """Settings of a gateway that keeps everything below `directory` and needs no key."""
    chosen: dict[str, Any] = {
        "environment": Environment.DEVELOPMENT,
        "model_repository": directory / "model_repository",
        "gallery_dir": directory / "galleries",
        "engine": EngineKind.ECHO,
        "reload_interval_s": 0.05,
        "timeout_ms": 60_000,
    }
    return Settings(**(chosen | changes))


@contextmanager
def running_app(app: FastAPI, bounds: ConnectionBounds = BOUNDS) -> Iterator[str]:
    """Serve an application over real HTTP; yields its base URL."""
    protocol = bounded_protocol(bounds)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http=protocol, ws="none", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="gateway")
    thread.start()
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not server.started:
            assert thread.is_alive(), "the gateway ended before it had started"
            assert time.monotonic() < deadline, "the gateway did not start in time"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(START_TIMEOUT_S)
        assert not thread.is_alive(), "the gateway did not stop"


@contextmanager
def running_gateway(settings: Settings) -> Iterator[httpx.Client]:
    """A running gateway and a client of it."""
    with running_app(create_app(settings)) as url, httpx.Client(base_url=url, timeout=60.0) as client:
        yield client
