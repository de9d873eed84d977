"""A gallery migrates under live searches: what they notice, how fast the job is, and what a cut-over lets through."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import httpx
import numpy as np

from benchmarks.gallery_client import create_gallery, enrol, open_client
from benchmarks.gallery_faces import BATCH_FACES, faces_of_batch, features_of_batch
from benchmarks.gateway_stack import served
from benchmarks.migration_client import Step, begin, filled_in, state_of, take, wait_for_state
from benchmarks.migration_engine import engine_rates
from benchmarks.migration_traffic import Answers, Probes, far_apart, traffic
from benchmarks.results import Claim, Figure, Result, claim, result_of, spread_of
from benchmarks.translate import SOURCE, TARGET
from contract.manifest import Method
from contract.vectors import Features, pack_float32, unpack_float32
from training.progress import View

DIM: Final = SOURCE.dim
GALLERY = "migration"
FACES, FACES_MAX = 100_000, 10_000_000
# Whose cost is R³AN's own; untrained, it keeps faces apart, which r3an without its linear path does not.
METHOD = Method.R3AN_LINEAR
CONNECTIONS = 4
RATE_PER_S = 20.0
QUIET_S = 60.0
REQUESTS = 10_000
BETWEEN_STEPS_S = 0.5
PARTS = 5  # of a time, for the intervals
COMPARED_FACES = 512  # whose translations are compared with what they were made of
JOB_S_MAX = 6 * 3600.0
MOVING_S_MAX = 3600.0
POLL_S = 0.05
TAIL_RATIO_MAX = 2.0
THROUGHPUT_RATIO_MIN = 0.8


@dataclass(frozen=True, slots=True)
class Load:
    """How much is measured; the defaults are what is claimed."""

    faces: int = FACES
    rate_per_s: float = RATE_PER_S
    quiet_s: float = QUIET_S
    requests: int = REQUESTS
    engine_s: float = 5.0  # of each number of batches in flight


@dataclass(frozen=True, slots=True)
class _Job:
    seconds: float
    faces_per_s: float


def migration_result(command: str, name: str, method: Method, load: Load, view: View) -> Result:
    """Enrol, time the engine, migrate alone, migrate under traffic, cut over and roll back under traffic.

    Raises:
        ValueError: the number of faces is no multiple of 1,000 or out of bounds, or the spaces are too alike.
    """
    if load.faces % BATCH_FACES or not BATCH_FACES <= load.faces <= FACES_MAX:
        raise ValueError(f"faces are a multiple of {BATCH_FACES} from {BATCH_FACES} to {FACES_MAX}")
    started_at = time.monotonic()
    with served(method) as stack, open_client(stack.gateway.url) as client:
        view.stage(f"enrolling {load.faces:,} faces")
        probes = _fill(client, load.faces, view)
        apart = far_apart(probes.features[:COMPARED_FACES], _translated(client, probes.features[:COMPARED_FACES]))
        view.stage("timing the engine alone")
        engine = asyncio.run(engine_rates(stack.triton.grpc_address, stack.version, load.engine_s))
        view.stage("migrating alone")
        alone = _migrate(client, load.faces, view, "migrated alone")
        take(client, alone[0], Step.CANCEL)
        view.stage("searching before")
        with traffic(stack.gateway.url, probes, CONNECTIONS, load.rate_per_s) as before:
            time.sleep(load.quiet_s)
        view.stage("migrating under traffic")
        with traffic(stack.gateway.url, probes, CONNECTIONS, load.rate_per_s) as during:
            under_traffic = _migrate(client, load.faces, view, "migrated under traffic")
        view.stage("cutting over and rolling back under traffic")
        with traffic(stack.gateway.url, probes, CONNECTIONS, rate_per_s=None) as moving:
            steps = _move(client, under_traffic[0], moving, load.requests, view)
    figures = _figures(engine, alone[1], under_traffic[1], before, during, moving)
    figures |= {
        "greatest cosine of a feature with its own translation": apart,
        "cut-overs and roll-backs": float(steps),
    }
    return result_of(
        name=name,
        command=command,
        seconds=time.monotonic() - started_at,
        figures=figures,
        claims=_claims(engine, alone[1], before, during, moving),
    )


def _fill(client: httpx.Client, faces: int, view: View) -> Probes:
    create_gallery(client, GALLERY, SOURCE)
    features, face_ids = np.empty((faces, DIM), np.float32), []
    for batch in range(faces // BATCH_FACES):
        enrolled, rows = faces_of_batch(batch), slice(batch * BATCH_FACES, (batch + 1) * BATCH_FACES)
        features[rows] = features_of_batch(batch, DIM)
        face_ids += [face.face_id for face in enrolled]
        enrol(client, GALLERY, SOURCE, face_ids[rows], [face.subject for face in enrolled], features[rows])
        view.counter("batches enrolled")(batch + 1, faces // BATCH_FACES)
    return Probes(GALLERY, SOURCE, face_ids, features)


def _translated(client: httpx.Client, features: Features) -> Features:
    query = {"source_model": SOURCE.id, "target_model": TARGET.id}
    headers = {"Content-Type": "application/octet-stream"}
    answer = client.post("/translate", content=pack_float32(features), params=query, headers=headers)
    return unpack_float32(answer.raise_for_status().content, TARGET.dim)


def _migrate(client: httpx.Client, faces: int, view: View, what: str) -> tuple[str, _Job]:
    """Begin a migration and wait until its copy is whole; its id, and how long it took."""
    migration = begin(client, GALLERY, TARGET)
    started_at, end = time.monotonic(), time.monotonic() + JOB_S_MAX
    while state_of(client, migration) == "backfilling" and time.monotonic() < end:
        view.counter(what)(filled_in(client, migration), faces)
        time.sleep(POLL_S)
    wait_for_state(client, migration, "ready", POLL_S)
    seconds = time.monotonic() - started_at
    return migration, _Job(seconds, faces / seconds)


def _move(client: httpx.Client, migration: str, answers: Answers, requests: int, view: View) -> int:
    """Cut over and roll back in turn until so many requests were made; how many steps that were.

    Raises:
        TimeoutError: the requests are not made in time.
    """
    steps, end = 0, time.monotonic() + MOVING_S_MAX
    while answers.count < requests:
        if time.monotonic() > end:
            raise TimeoutError(f"{answers.count} of {requests} requests were made in {MOVING_S_MAX:g} s")
        take(client, migration, Step.ROLL_BACK if steps % 2 else Step.CUT_OVER)
        steps += 1
        time.sleep(BETWEEN_STEPS_S)
        view.counter("requests while moving")(min(answers.count, requests), requests)
    return steps


def _tail(answers: Answers) -> Figure:
    """The 99th percentile, between the least and greatest of the parts."""
    tails = [part.percentile_ms(99) for part in answers.parts(PARTS) if part.taken_ms]
    value = answers.percentile_ms(99)
    return Figure(value=value, low=min(*tails, value), high=max(*tails, value))


def _figures(
    engine: dict[int, list[float]], alone: _Job, under_traffic: _Job, before: Answers, during: Answers, moving: Answers
) -> dict[str, float | Figure]:
    figures: dict[str, float | Figure] = {
        f"engine alone, {at_once} batches at once: features/s": spread_of(rates) for at_once, rates in engine.items()
    }
    return figures | {
        "migration alone: faces/s": alone.faces_per_s,
        "migration under traffic: faces/s": under_traffic.faces_per_s,
        "search before: p50 ms": before.percentile_ms(50),
        "search before: p99 ms": _tail(before),
        "search during the migration: p50 ms": during.percentile_ms(50),
        "search during the migration: p99 ms": _tail(during),
        "searches before": float(before.count),
        "searches during the migration": float(during.count),
        "searches while cutting over and rolling back": float(moving.count),
    }


def _claims(
    engine: dict[int, list[float]], alone: _Job, before: Answers, during: Answers, moving: Answers
) -> list[Claim]:
    fastest = max(spread_of(rates).value for rates in engine.values())
    tails = during.percentile_ms(99) / before.percentile_ms(99)
    wrong_before = before.failed + before.mixed + during.failed + during.mixed
    return [
        claim("p99 of searches during the migration over before", tails, "<=", TAIL_RATIO_MAX),
        claim(
            "faces/s migrated alone over the engine's batches", alone.faces_per_s / fastest, ">=", THROUGHPUT_RATIO_MIN
        ),
        claim("searches while cutting over and rolling back", float(moving.count), ">=", float(REQUESTS)),
        claim("of these, failed", float(moving.failed), "<=", 0.0),
        claim("of these, mixed two spaces", float(moving.mixed), "<=", 0.0),
        claim("searches before and during the migration, failed or mixed", float(wrong_before), "<=", 0.0),
    ]
