"""What `r3an-gateway serve` runs in one process, and no other command needs: the application under uvicorn."""

import math

import uvicorn

from service.app import create_app
from service.http_protocol import HEAD_BYTES_MAX, ConnectionBounds, bounded_protocol
from service.logs import configure_logs
from service.settings import Settings

LATE_MESSAGE_S = 1.0  # between the answer to a body that is late and the end of its connection


def gateway_server(settings: Settings) -> uvicorn.Server:
    """The gateway, ready to run. Raises KeysFileError, pydantic.ValidationError."""
    app = create_app(settings)
    configure_logs(settings.log_level)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http=bounded_protocol(_connection_bounds(settings)),
            ws="none",
            log_config=None,
            access_log=False,  # it would write query strings and paths; the gateway logs routes itself
            server_header=False,
            proxy_headers=False,  # nothing here depends on who a proxy says the client is
            timeout_graceful_shutdown=graceful_end_s(settings),
        )
    )


def graceful_end_s(settings: Settings) -> int:
    """Time that accepted requests are given when the gateway ends: none outlives its deadline."""
    return math.ceil(settings.timeout_ms / 1000) + 1


def _connection_bounds(settings: Settings) -> ConnectionBounds:
    return ConnectionBounds(
        connections_max=settings.connections_max,
        # Chunks may be framed by as many bytes as they hold.
        message_bytes_max=2 * settings.body_bytes_max + HEAD_BYTES_MAX,
        message_timeout_s=settings.timeout_ms / 1000 + LATE_MESSAGE_S,
    )
