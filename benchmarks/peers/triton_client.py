"""Triton asked directly, as many calls in flight as the plan says. A plan on stdin, a report on stdout.

The features are encoded once, as for HTTP, and the answers are left as they came. With shared memory each lane has a
region of its own for features and answers, which Triton reads and writes in place.
"""

import gc
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import tritonclient.grpc.aio as triton
import uvloop
from tritonclient.utils import shared_memory

from benchmarks.gateway_requests import DIM, features_of
from benchmarks.load.answers import OK, Answers, Reply
from benchmarks.load.pacing import send_closed
from benchmarks.load.plan import Closed
from benchmarks.load.report import report_of, report_to_json

TENSOR = "FEATURE"
MESSAGE_BYTES_MAX = 64 * 1024 * 1024

Ask = Callable[[], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class TritonPlan:
    """Which Triton and model, how many features a call, and whether through shared memory."""

    address: str
    model: str
    rows: int
    shared: bool
    pace: Closed

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))


async def _run(plan: TritonPlan) -> Answers:
    options = [(f"grpc.max_{way}_message_length", MESSAGE_BYTES_MAX) for way in ("send", "receive")]
    async with AsyncExitStack() as stack:
        client = triton.InferenceServerClient(plan.address, channel_args=options)
        stack.push_async_callback(client.close)
        if plan.shared:
            asks = [await stack.enter_async_context(_sharing(client, plan, lane)) for lane in range(plan.pace.at_once)]
        else:
            given = triton.InferInput(TENSOR, [plan.rows, DIM], "FP32")
            given.set_data_from_numpy(features_of(plan.rows, DIM))
            asks = [_asker(client, plan, given, triton.InferRequestedOutput(TENSOR))] * plan.pace.at_once
        return await send_closed(asks, plan.pace)


@asynccontextmanager
async def _sharing(client: Any, plan: TritonPlan, lane: int) -> AsyncIterator[Ask]:  # noqa: ANN401 - tritonclient has no types
    """A lane's call through a region of shared memory, features first, answers behind them."""
    features = features_of(plan.rows, DIM)
    name, size = f"r3an-bench-{os.getpid()}-{lane}", features.nbytes
    region = shared_memory.create_shared_memory_region(name, name, 2 * size)
    try:
        shared_memory.set_shared_memory_region(region, [features])
        await client.register_system_shared_memory(name, name, 2 * size)
        given, wanted = triton.InferInput(TENSOR, [plan.rows, DIM], "FP32"), triton.InferRequestedOutput(TENSOR)
        given.set_shared_memory(name, size)
        wanted.set_shared_memory(name, size, offset=size)
        yield _asker(client, plan, given, wanted)
        await client.unregister_system_shared_memory(name)
    finally:
        shared_memory.destroy_shared_memory_region(region)


def _asker(client: Any, plan: TritonPlan, given: Any, wanted: Any) -> Ask:  # noqa: ANN401 - tritonclient has no types
    async def ask() -> Reply:
        await client.infer(plan.model, [given], outputs=[wanted])
        return Reply(OK)

    return ask


def main() -> None:
    """Run the plan."""
    given = json.loads(sys.stdin.read())
    plan = TritonPlan(**given | {"pace": Closed(**given["pace"])})
    gc.disable()
    answers = uvloop.run(_run(plan))
    sys.stdout.write(report_to_json(report_of(answers, plan.pace, plan.rows)))


if __name__ == "__main__":
    main()
