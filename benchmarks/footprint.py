"""What a gateway before Triton holds in memory, and how soon it is ready."""

import time
from pathlib import Path
from typing import Final

from benchmarks.gateway_requests import translate_message
from benchmarks.gateway_stack import Stack, served
from benchmarks.load.answers import OK, REFUSED
from benchmarks.load.plan import JSON, OCTET_STREAM, Closed, Plan
from benchmarks.load.run import run_load
from benchmarks.process_costs import family_of, resident_bytes
from benchmarks.results import Claim, Figure, Result, claim, result_of, spread_of
from benchmarks.translate import SOURCE, TARGET
from contract.manifest import Method
from deploy.gateway import GatewayServer
from deploy.process import LOOPBACK, READY_TIMEOUT_S, http_status
from training.progress import View

NAME: Final = "gateway-footprint"
STARTS: Final = 7
POLL_S: Final = 0.005
SETTLED, ALL = 20_000, 100_000  # requests
AT_ONCE: Final = 16
CHUNK_S: Final = 4.0  # of requests, between looks at their number
REQUESTS_S_MAX: Final = 600.0
WIDE_ROWS: Final = 512
MEMORY_MB_MAX: Final = 120.0
READY_S_MAX: Final = 1.5
GROWTH_MAX: Final = 0.02


def footprint_result(command: str, view: View) -> Result:
    """Start the gateway several times, each time beside a Triton that has the model; then send it 100,000 requests."""
    started_at, ready_s, fresh_mb = time.monotonic(), list[float](), list[float]()
    with served(Method.AFFINE) as stack:
        view.stage("starting")
        for number in range(STARTS):
            gateway = _another(stack, number)
            try:
                ready_s.append(_start(gateway))
                fresh_mb.append(_memory_mb(gateway))
            finally:
                gateway.stop()
        view.stage(f"sending {ALL:,} requests")
        sent = _send(stack, 0, SETTLED, view)
        settled_mb = _memory_mb(stack.gateway)
        sent = _send(stack, sent, ALL, view)
        loaded_mb = _memory_mb(stack.gateway)
        view.stage("sending wide requests")
        _run(stack, WIDE_ROWS, OCTET_STREAM)
        wide_mb = _memory_mb(stack.gateway)
    figures: dict[str, float | Figure] = {
        "start to ready, s": spread_of(ready_s),
        "memory when ready, MB": spread_of(fresh_mb),
        f"memory after {SETTLED:,} requests, MB": settled_mb,
        f"memory after {ALL:,} requests, MB": loaded_mb,
        f"memory after {CHUNK_S:g} s of {WIDE_ROWS}-row requests, MB": wide_mb,
        "requests sent": float(sent),
    }
    claims: list[Claim] = [
        claim("memory when ready, MB", spread_of(fresh_mb).value, "<=", MEMORY_MB_MAX),
        claim(f"memory after {ALL:,} requests, MB", loaded_mb, "<=", MEMORY_MB_MAX),
        claim("start to ready, s", spread_of(ready_s).value, "<=", READY_S_MAX),
        claim(f"memory after {ALL:,} requests over {SETTLED:,}", loaded_mb / settled_mb, "<=", 1 + GROWTH_MAX),
    ]
    return result_of(
        name=NAME,
        command=command,
        seconds=time.monotonic() - started_at,
        figures=figures,
        claims=claims,
    )


def _another(stack: Stack, number: int) -> GatewayServer:
    """A gateway of the same settings with a gallery folder of its own, not started."""
    folder = Path(stack.settings["R3AN_GALLERY_DIR"])
    return GatewayServer(dict(stack.settings) | {"R3AN_GALLERY_DIR": str(folder.with_name(f"galleries-{number}"))})


def _start(gateway: GatewayServer) -> float:
    """Seconds from the start of the process until /health/ready answers 200. Raises TimeoutError, ProcessError."""
    started_at = time.monotonic()
    gateway.process.start(lambda: True)
    while http_status(f"{gateway.url}/health/ready") != 200:
        if time.monotonic() - started_at > READY_TIMEOUT_S:
            raise TimeoutError(f"waited {READY_TIMEOUT_S:g} s; the gateway's log ends:\n{gateway.process.log_tail()}")
        time.sleep(POLL_S)
    return time.monotonic() - started_at


def _send(stack: Stack, sent: int, wanted: int, view: View) -> int:
    """Send single features until there were so many, the refused too; how many. Raises TimeoutError, RuntimeError."""
    end = time.monotonic() + REQUESTS_S_MAX
    while sent < wanted:
        if time.monotonic() > end:
            raise TimeoutError(f"{sent} of {wanted} requests were answered in {REQUESTS_S_MAX:g} s")
        sent += _run(stack, 1, JSON)
        view.counter("requests")(min(sent, ALL), ALL)
    return sent


def _run(stack: Stack, rows: int, content_type: str) -> int:
    """Send for some seconds; how many were answered or refused. Raises RuntimeError: some were neither."""
    port = stack.gateway.port
    message = translate_message(port, SOURCE, TARGET, rows, content_type)
    (summary,) = run_load(Plan(LOOPBACK, port, message, rows, Closed(AT_ONCE, CHUNK_S, warm_up_s=0.0))).summaries
    if not set(summary.statuses) <= {str(status) for status in (OK, *REFUSED)}:
        raise RuntimeError(f"the gateway answered with {summary.statuses}")
    return sum(summary.statuses.values())


def _memory_mb(gateway: GatewayServer) -> float:
    """Of its process and all that it has started."""
    return sum(resident_bytes(process_id) for process_id in family_of(gateway.process.pid)) / 1e6
