"""The gateway and its peers, all measured through one function: so many features a request, at this pace."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import orjson

from benchmarks.gateway_requests import features_of, translate_message
from benchmarks.gateway_stack import Stack
from benchmarks.load.answers import Summary
from benchmarks.load.plan import JSON, OCTET_STREAM, Closed, Plan, http_message, seconds_of
from benchmarks.load.run import run_load, start_program
from benchmarks.peers.in_process import InProcessPlan
from benchmarks.peers.servers import LITSERVE, NAIVE, serving
from benchmarks.peers.triton_client import TritonPlan
from benchmarks.translate import SOURCE, TARGET
from contract.manifest import MODEL_FILE
from contract.vectors import pack_float32
from deploy.process import LOOPBACK
from deploy.triton.staging import TUNING

Measure = Callable[[int, Closed], Summary]  # rows of a request, pace


@dataclass(frozen=True, slots=True)
class Contestant:
    """What is measured, by the name that figures and pictures give it."""

    name: str
    measure: Measure


def gateway(stack: Stack, content_type: str) -> Contestant:
    """The gateway, asked over HTTP."""
    port = stack.gateway.port
    return Contestant(
        f"gateway, {_body(content_type)}",
        partial(
            _over_http, port, lambda rows: translate_message(port, SOURCE, TARGET, rows, content_type), nullcontext
        ),
    )


def direct_triton(stack: Stack, *, shared: bool = False) -> Contestant:
    """The gateway's own Triton, asked by tritonclient."""
    name = "tritonclient, shared memory" if shared else "tritonclient"
    return Contestant(name, partial(_by_tritonclient, stack.triton.grpc_address, stack.version.parent.name, shared))


def in_process(stack: Stack, file: str, threads: int) -> Contestant:
    """The model with nothing around it, one call at a time; `file`: its TorchScript or its ONNX."""
    name = f"in process, {threads} {'thread' if threads == 1 else 'threads'}, {file}"
    return Contestant(name, partial(_in_process, str(stack.version / file), threads))


@contextmanager
def naive(stack: Stack) -> Iterator[Contestant]:
    """A FastAPI application that one writes in ten lines."""
    with serving(NAIVE, stack.version / MODEL_FILE) as peer:
        message = partial(_peer_message, peer.port, "/translate", JSON)
        yield Contestant("naive FastAPI, JSON", partial(_over_http, peer.port, message, peer.awake))


@contextmanager
def litserve(stack: Stack, content_type: str, batch: int) -> Iterator[Contestant]:
    """LitServe; `batch`: requests in one call of the model, 1 without its batching."""
    kind, batches = "json" if content_type == JSON else "binary", f", batches of {batch}" if batch > 1 else ""
    with serving(LITSERVE, stack.version / MODEL_FILE, kind, str(batch)) as peer:
        message = partial(_peer_message, peer.port, "/predict", content_type)
        name = f"LitServe, {_body(content_type)}{batches}"
        yield Contestant(name, partial(_over_http, peer.port, message, peer.awake))


@contextmanager
def together(contestants: list[Contestant], *servers: AbstractContextManager[Contestant]) -> Iterator[list[Contestant]]:
    """Contestants that run already, and peers that are started for the length of the context."""
    with ExitStack() as stack:
        yield contestants + [stack.enter_context(server) for server in servers]


def _over_http(
    port: int,
    message_of: Callable[[int], bytes],
    awake: Callable[[], AbstractContextManager[None]],
    rows: int,
    pace: Closed,
) -> Summary:
    with awake():
        return run_load(Plan(LOOPBACK, port, message_of(rows), rows, pace)).summaries[0]


def _by_tritonclient(address: str, model: str, shared: bool, rows: int, pace: Closed) -> Summary:
    plan = TritonPlan(address, model, rows, shared, pace)
    return _by_program("benchmarks.peers.triton_client", plan.to_json(), pace, 1)


def _in_process(file: str, threads: int, rows: int, pace: Closed) -> Summary:
    plan = InProcessPlan(file, rows, threads, pace)
    return _by_program("benchmarks.peers.in_process", plan.to_json(), pace, threads)


def _by_program(module: str, plan: str, pace: Closed, threads: int) -> Summary:
    # The allocator's settings are those of Triton's process: without them torch is slower, and we would look faster.
    environment = os.environ | TUNING | {"OMP_NUM_THREADS": str(threads)}
    with start_program(module, plan, seconds_of(pace), environment) as load:
        return load.report().summaries[0]


def _peer_message(port: int, path: str, content_type: str, rows: int) -> bytes:
    features = features_of(rows, SOURCE.dim)
    if content_type == OCTET_STREAM:
        return http_message(LOOPBACK, port, path, pack_float32(features), content_type)
    body = orjson.dumps({"features": features}, option=orjson.OPT_SERIALIZE_NUMPY)
    return http_message(LOOPBACK, port, path, body, content_type)


def _body(content_type: str) -> str:
    return "JSON" if content_type == JSON else "octet-stream"
