"""What is seen of every request: its id and trace, its times, one log line, its metrics. Never what it carries."""

import logging
import re
import secrets
import time
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import OTHER, Metrics, method_label
from service.problems import internal_problem
from service.timings import Timings

logger = logging.getLogger(__name__)

STATUS_CLIENT_GONE: Final = 499  # nobody reads it; the metric tells it from an answer
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Observation:
    """ASGI middleware around the whole application; the one that turns the unforeseen into a problem."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Observe HTTP; pass everything else."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, timings = Request(scope, receive), Timings()
        request.state.timings, request.state.request_id = timings, _request_id(request)
        request.state.problem_code = None
        status = 0

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request.state.request_id.encode()),
                    (b"server-timing", timings.header().encode()),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        except ClientDisconnect:
            status = STATUS_CLIENT_GONE
        except Exception:
            logger.exception("unforeseen failure", extra={"fields": {"request_id": request.state.request_id}})
            if status == 0:
                await internal_problem(request)(scope, receive, send_observed)
        finally:
            self._report(request, status, timings)

    def _report(self, request: Request, status: int, timings: Timings) -> None:
        seconds = time.monotonic() - timings.arrived_at
        route, method = _route_label(request), method_label(request.method)
        self._metrics.http_requests.labels(route, method, str(status)).inc()
        self._metrics.http_request_duration.labels(route, method).observe(seconds)
        if request.state.problem_code is not None:
            self._metrics.problems.labels(route, request.state.problem_code).inc()
        trace = TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
        fields = {
            "request_id": request.state.request_id,
            "trace_id": trace.group(1) if trace else None,
            "route": route,
            "method": method,
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
        }
        logger.info("request", extra={"fields": fields})


def _request_id(request: Request) -> str:
    """The client's id where it is harmless, else a new one."""
    given = request.headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def _route_label(request: Request) -> str:
    """The route's template: never the path, which names faces and subjects."""
    return getattr(request.scope.get("route"), "path", OTHER)
